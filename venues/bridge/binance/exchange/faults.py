"""What a stand-in does wrong, on request: once, some times in a row, or by chance with a seed.

Each fault is armed at a place (a stream's name, a request, `*` for all) and is spent when it strikes.
"""

import random
from dataclasses import dataclass, field

from crosswire.venues.errors import VenueError

# What there is to arm, by where it strikes.
KINDS = {
    # Of a message of a stream.
    "stream": ("drop", "duplicate", "late", "reorder", "malformed", "unknown_event"),
    # Of a request: refused as busy; carried out and not answered; carried out and answered with -1007; answered with
    # half a JSON; carried out and the connection cut; answered twice (websocket).
    "request": ("busy", "lost_answer", "unknown_status", "malformed", "cut", "twice"),
    # Of a user data event.
    "user": ("drop", "duplicate", "late", "reorder", "malformed", "unknown_event"),
}


@dataclass
class Armed:
    """A fault that waits."""

    where: str  # stream, request, user
    kind: str
    match: str  # `*`, or a part of the name
    count: int = 1  # times that it strikes; -1: always
    skip: int = 0  # that it lets pass first
    chance: float = 1.0  # of striking each time


@dataclass
class Faults:
    """All that are armed."""

    seed: int = 1
    armed: list[Armed] = field(default_factory=list)
    struck: dict[str, int] = field(default_factory=dict)  # by `where:kind`

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def arm(self, where: str, kind: str, match: str = "*", count: int = 1, skip: int = 0, chance: float = 1.0) -> None:
        """Arm a fault; VenueError if there is no such thing."""
        if where not in KINDS or kind not in KINDS[where]:
            known = "; ".join(f"{place}: {', '.join(kinds)}" for place, kinds in KINDS.items())
            raise VenueError(f"no fault {kind!r} at {where!r}: there are {known}")
        self.armed.append(Armed(where, kind, match, count, skip, chance))

    def disarm(self) -> None:
        """Let everything be right again."""
        self.armed.clear()

    def take(self, name: str, where: str) -> str:
        """Tell which fault strikes what is called `name`; "" if none does."""
        for fault in self.armed:
            if fault.where != where or (fault.match != "*" and fault.match not in name):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.chance < 1.0 and self.random.random() >= fault.chance:
                continue
            if fault.count > 0:
                fault.count -= 1
            if fault.count == 0:
                self.armed.remove(fault)
            key = f"{where}:{fault.kind}"
            self.struck[key] = self.struck.get(key, 0) + 1
            return fault.kind
        return ""
