"""Memory and wires: structs, rings, frames, captures. Knows nothing of prices or orders."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.nic":
    raise ImportError("the package is crosswire: import crosswire.nic")
