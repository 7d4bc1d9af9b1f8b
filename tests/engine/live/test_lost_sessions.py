"""What `crosswire live` tells of order sessions: each loss, each return, and of what it did not see happen, too."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from crosswire.engine.live.live import LostSessions
from crosswire.engine.live.steady import SteadyConsole


class Told:
    """A run with one session, whose state the test sets, and what was printed."""

    def __init__(self) -> None:
        self.venue = SimpleNamespace(is_lost=0, losses=0)
        self.reason, self.noticed = "", [""]
        entry = SimpleNamespace(explain=lambda _: self.reason, notices=lambda _: self.noticed[1:])
        run: Any = SimpleNamespace(
            parts=[SimpleNamespace(session=None)],
            config=SimpleNamespace(venue=[SimpleNamespace(name="bridge", order_entry=entry)]),
            engine=SimpleNamespace(venues=[self.venue]),
        )
        self.output = io.StringIO()
        self.sessions = LostSessions(run, SteadyConsole(Console(file=self.output, width=200)))

    def lose(self, reason: str) -> None:
        self.venue.is_lost, self.venue.losses, self.reason = 1, self.venue.losses + 1, reason

    def come_back(self) -> None:
        self.venue.is_lost, self.reason = 0, ""

    def tell(self) -> list[str]:
        """What is printed now."""
        begin = self.output.tell()
        self.sessions.tell()
        return self.output.getvalue()[begin:].splitlines()


def test_each_loss_and_each_return_is_told_once() -> None:
    told = Told()
    assert told.tell() == []
    for reason in ("silent", "silent", "logged out"):
        told.lose(reason)
        assert told.tell() == [f"bridge: {reason}"]
        assert told.tell() == []
        told.reason = ""  # an attempt to come back is under way
        assert told.tell() == []
        told.reason = reason  # and has failed
        assert told.tell() == []
        told.come_back()
        assert told.tell() == ["bridge: its session is back"]
        assert told.tell() == []


def test_what_happened_between_two_looks_is_told_too() -> None:
    told = Told()
    told.lose("silent")
    told.come_back()
    assert told.tell() == ["bridge: its session was lost"]
    assert told.tell() == ["bridge: its session is back"]
    told.lose("silent")
    assert told.tell() == ["bridge: silent"]
    told.come_back()
    told.lose("logged out")
    assert told.tell() == ["bridge: its session is back", "bridge: logged out"]


def test_a_reason_of_a_session_that_goes_on_is_told_once() -> None:
    """As Starbase's, of one of two gateways; and notices."""
    told = Told()
    told.reason = "gateway B: displaced"
    told.noticed.append("speaks a newer version")
    assert told.tell() == ["bridge: gateway B: displaced", "bridge: speaks a newer version"]
    assert told.tell() == []
