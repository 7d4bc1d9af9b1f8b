"""What an exchange is: instruments, books, layouts, feeds, order sessions, simulated exchanges."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.venues":
    raise ImportError("the package is crosswire: import crosswire.venues")
