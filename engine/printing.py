"""What commands print on: tables on standard output, one line about what is wrong on standard error."""

import sys

import typer
from rich.console import Console

# Into a file or pipe tables are as wide as they need to be, not as an imagined terminal.
# A name with two colons, as "a:x:b", stays as it is: Rich would put a picture in its place.
console = Console(width=None if sys.stdout.isatty() else 120, emoji=False)
errors = Console(stderr=True, emoji=False)


def fail(message: object) -> typer.Exit:
    """Print one line on standard error and leave with exit code 1."""
    if isinstance(message, OSError) and message.strerror:
        message = ": ".join(str(each) for each in (message.filename, message.strerror) if each)
    errors.print(f"crosswire: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(1)
