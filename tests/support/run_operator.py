"""Who operates a live run: what a person types at the command line, and the run's own journal beside it."""

import json
import time
from pathlib import Path
from typing import Any

from crosswire.engine.journal.show import Filter, show_records
from tests.support.command import ask
from tests.support.live_setup import Command

NAME = "synthetic"
MARKET_S = 150


class Operator:
    """Who sits at the command line."""

    def __init__(self, config: Path) -> None:
        self.config, self.runs = config, config.parent / "runs"

    def say(self, *words: object, name: str = "tess") -> Any:
        """Ask as `crosswire control` does; return the JSON that it prints."""
        code, lines, error = ask("control", words[0], self.config, *words[1:], "-o", self.runs, "--as", name, "--json")
        assert code == 0, error
        return json.loads("\n".join(lines))

    def until(self, what: str, done: Any, patience_s: float = 40.0) -> Any:
        """Ask again until the answer will do."""
        deadline_s = time.monotonic() + patience_s
        while not done(answer := self.say(what)):
            assert time.monotonic() < deadline_s, answer
            time.sleep(0.05)
        return answer

    @property
    def latest(self) -> Path:
        return self.runs / NAME / "latest"

    def records(self) -> list[dict[str, Any]]:
        """The journal so far."""
        return list(show_records(self.latest, Filter()))


def nothing_is_left(exchanges: Command) -> None:
    """End the exchanges: by their own account we hold nothing there, and have nothing open."""
    exchanges.process.terminate()
    told = json.loads(exchanges.finish().splitlines()[-1])
    assert {lots for venue in told.values() for lots in venue["position_lots"].values()} == {0}
    assert all(venue["resting"] == 0 for venue in told.values())
