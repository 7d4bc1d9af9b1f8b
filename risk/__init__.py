"""What may be sent: positions, limits, the gate before every order."""

# A struct that is imported under two names is two structs.
if __name__ != "crosswire.risk":
    raise ImportError("the package is crosswire: import crosswire.risk")
