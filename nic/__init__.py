"""Memory and wires: structs, rings, frames, captures. Knows nothing of prices or orders."""

import nic.struct_numba as _struct_numba  # noqa: F401  registers Struct with numba
from nic import whole_program as _whole_program

_whole_program.install()
