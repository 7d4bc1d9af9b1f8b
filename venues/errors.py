"""What a venue's own code raises when the user can mend it."""


class VenueError(Exception):
    """One line that names what is wrong: a key and its value, a file, a line of a recording."""
