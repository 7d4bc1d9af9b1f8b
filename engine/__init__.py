"""The assembly of the parts: building, the loop, running, recording and reporting."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.engine":
    raise ImportError("the package is crosswire: import crosswire.engine")
