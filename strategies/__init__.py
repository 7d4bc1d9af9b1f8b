"""The interface that strategies are written for, and the built-in ones."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.strategies":
    raise ImportError(
        "the package is crosswire: import crosswire.strategies"
    )  # a struct under two names is two structs
