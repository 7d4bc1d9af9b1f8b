"""A mistake in a strategy's source: where, what, and what to write instead."""

from dataclasses import dataclass
from pathlib import Path

# What is wrong with code of each kind, in the words of docs/mistakes.md.
RULES = {
    "argument": "missing, extra or unfitting arguments",
    "assign": "a struct or a table assigned whole",
    "callback": "a callback that is never called, or not as it is written",
    "compare": "structs compared, or taken for true or false",
    "container": "a Python container",
    "division": "an integer division whose sign or zero surprises",
    "exception": "an exception, or a block that waits for one",
    "field": "an attribute that is no field",
    "float": "a float where integers are counted",
    "helper": "a function that is not compiled",
    "index": "an index beyond a table's size",
    "kind": "a name that is one thing here and another there",
    "loop": "a loop without a bound",
    "message": "a line for the log that can't be written",
    "name": "a name that nothing has",
    "load": "a file that can't be read, or raises while it is",
    "numpy": "NumPy",
    "parameter": "a parameter that can't be as it is declared",
    "python": "a part of Python that is not compiled",
    "return": "a function that returns on some ways only",
    "shown": "a write to what is only shown",
    "state": "state outside the struct",
    "text": "a string",
    "time": "a time that is long past",
    "unassigned": "a name that may have no value yet",
    "width": "a number that its place can't hold",
}


@dataclass(frozen=True, order=True)
class CodeMistake:
    """One mistake. `instead` is an imperative."""

    path: Path
    line: int
    column: int  # from 1
    rule: str  # of RULES
    what: str
    instead: str

    def __post_init__(self) -> None:
        assert self.rule in RULES

    def text(self) -> str:
        """Write "file:line: what; write this instead"."""
        return f"{shown(self.path)}:{self.line}: {self.what}; {self.instead}"

    def facts(self) -> dict[str, str | int]:
        """Give what an editor needs, for JSON."""
        return {
            "file": str(self.path),
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "what": self.what,
            "instead": self.instead,
        }


def shown(path: Path) -> str:
    """Name a file as the user would: from the working folder, if it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
