"""What a venue's own code raises when the user can mend it, and how others' errors are told."""


def first_line(error: Exception) -> str:
    """Read the first line of an error's text, which others may write at any length."""
    return str(error).partition("\n")[0]


def one_line(error: Exception) -> str:
    """Say an error's kind and the first line of its text."""
    text = first_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class VenueError(Exception):
    """One line that names what is wrong: a key and its value, a file, a line of a recording."""
