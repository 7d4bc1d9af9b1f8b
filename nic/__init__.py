"""Memory and wires: structs, rings, frames, captures. Knows nothing of prices or orders."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.nic":
    raise ImportError("the package is crosswire: import crosswire.nic")

from crosswire.nic.memory import struct_numba as _struct_numba  # noqa: F401  registers Struct with numba
from crosswire.nic.unit import whole_program as _whole_program

_whole_program.install()
