"""Times of callbacks over a configuration's data: of every call, and of the same run as without them."""

from pathlib import Path

import pytest

from crosswire.engine.checking import timing
from crosswire.engine.checking.file import check_use
from crosswire.engine.config import ConfigError
from crosswire.nic.unit.compile import NO_JIT
from tests.support.short_run import finished_run, two_seconds

pytestmark = pytest.mark.skipif(NO_JIT, reason="times are those of compiled code")

STRATEGY = """
import msgspec

from crosswire import BUY, BuildContext, Desk, Order, Strategy, i64, on_book, on_order, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    every: int


class Nibbler(Strategy):
    every: i64
    seen: i64
    told: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Nibbler":
        return Nibbler(every=parameters.every)

    def counters(self) -> dict[str, int]:
        return {"books": self.seen, "orders": self.told}


@on_book.register(Nibbler)
def look(strategy: Nibbler, desk: Desk, instrument: int) -> None:
    strategy.seen += 1
    if strategy.seen % strategy.every == 0:
        submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, 1)


@on_order.register(Nibbler)
def hear(strategy: Nibbler, desk: Desk, order: Order) -> None:
    strategy.told += 1
"""


def test_every_call_is_timed_and_the_run_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = two_seconds(tmp_path, 1)
    (config.parent / "mine.py").write_text(STRATEGY)
    head, _, rest = config.read_text().partition("\n[strategy]")
    rest = rest[rest.index("\n[limits]") :]
    text = '{}\n[strategy]\nuse = "{}:{}"\nparameters = {{ every = 50 }}\n{}'
    config.write_text(text.format(head, "mine.py", "Nibbler", rest))
    plain = finished_run(config)
    counted = plain.core.strategies[0].counters()
    assert counted["orders"] > 10
    classes = check_use(str(config.parent / "mine.py"))[0]
    with pytest.raises(ConfigError, match=r"none of its strategies is Basis"):
        timing.time_callbacks(check_use("basis")[0], config)

    def refuse(*_: object) -> list[timing.CallbackTime]:  # 17 s of compiling, for another class
        raise ConfigError("my.toml: strategy.parameters: instruments: a and b have different underlyings")

    monkeypatch.setattr(timing, "built_in_times", refuse)
    found, missing = timing.time_callbacks(classes, config)
    times = {each.callback: each for each in found}
    assert missing == (
        "cross_spread is not beside them: it can't trade these instruments (a and b have different underlyings)"
    )
    assert {name: each.calls for name, each in times.items()} == {
        "on_book": counted["books"],
        "on_order": counted["orders"],
    }
    assert all(0 <= each.median_ns <= each.most_ns < 1e9 for each in times.values())
    assert times["on_book"].most_ns > 0
    wrapped = timing.timed_class(classes[0])
    config.write_text(text.format(head, wrapped.__module__, wrapped.__name__, rest))
    assert finished_run(config).digests() == plain.digests()
