"""What a bridge says: one line an event, and a count of everything by reason."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

TEXT_MAX = 300  # characters of what comes from outside


def plain(text: str) -> str:
    """Make what came from outside one line of printable ASCII, not too long."""
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in text[: TEXT_MAX + 1])
    return shown if len(shown) <= TEXT_MAX else f"{shown[:TEXT_MAX]}..."


class Log:
    """A bridge's events and counters. `tell` writes one line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.counters: Counter[str] = Counter()

    def event(self, where: str, what: str) -> None:
        """Say that something happened, with the time."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self.tell(f"{now}Z {where}: {plain(what)}")

    def count(self, reason: str, times: int = 1) -> None:
        """Count something that needs no line of its own; `reason` is a plural that reads behind a number."""
        self.counters[reason] += times

    def finish(self) -> None:
        """Say every counter, a line each."""
        for reason, count in sorted(self.counters.items()):
            self.event("counted", f"{count:,} {reason}")
        self.event("bridge", "ended")
