"""Who hears what is being compiled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """What is being compiled now."""

    names: tuple[str, ...]
    done: int
    total: int
    seconds: float  # since the first began


Say = Callable[[Progress], None]

listeners: list[Say] = []  # that hear what is being compiled: a command's line to the person who waits


def tell(progress: Progress) -> None:
    """Tell everybody who listens."""
    for listener in listeners:
        listener(progress)


@contextmanager
def noted() -> Iterator[set[str]]:
    """Note the names of what is compiled meanwhile."""
    names: set[str] = set()

    def hear(progress: Progress) -> None:
        names.update(progress.names)

    listeners.append(hear)
    try:
        yield names
    finally:
        listeners.remove(hear)
