"""What the loop promises a strategy: orders leave before the next frame is looked at, and carry what caused them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.generate import generate_captures
from crosswire.nic.unit.compile import NO_JIT
from tests.support.paths import ROOT

STRATEGY = """
import msgspec

from crosswire import BUY, BuildContext, Desk, Strategy, i64, on_book, on_timer, submit, wake_at

BY_BOOK, BY_TIMER = 1, 2


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Watcher(Strategy):
    first_ns: i64  # when the first venue's book was last acted on
    seen: i64
    met: i64  # both venues' books changed at one instant
    wrong: i64  # the first venue's order had not left by then
    misdated: i64  # the frame acted on was not the book's

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Watcher":
        return cls()

    def counters(self) -> dict[str, int]:
        return {"met": self.met, "wrong": self.wrong, "misdated": self.misdated}


@on_book.register(Watcher)
def look(strategy: Watcher, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    if desk.trigger_ns != book.receive_time_ns:
        strategy.misdated += 1
    if instrument == 0:
        strategy.seen += 1
        if strategy.seen % 100 == 0:
            strategy.first_ns = desk.now_ns
            submit(desk, 0, BUY, book.ask_ticks, 1, trade_id=BY_BOOK)
            wake_at(desk, desk.now_ns + 1_000)
    elif strategy.first_ns == desk.now_ns:
        strategy.met += 1
        if desk.positions[0].open_buy_lots == 0:
            strategy.wrong += 1


@on_timer.register(Watcher)
def wake(strategy: Watcher, desk: Desk) -> None:
    submit(desk, 1, BUY, desk.books[1].ask_ticks, 1, trade_id=BY_TIMER)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two venues that hear the very same frames at the same instants."""
    generate_captures(tmp_path, seed=1, seconds=1 if NO_JIT else 3)
    (tmp_path / "watcher.py").write_text(STRATEGY)
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    limits = "[limits]" + text.partition("[limits]")[2].partition("[[venue]]")[0]
    venue = next(f"[[venue]]{each}" for each in text.split("[[venue]]") if 'feed = "bridge"' in each)
    venue = venue.replace("../data/synthetic/bridge.pcap", "bridge.pcap")
    first, second = (venue.replace('name = "bridge"', f'name = "{name}"') for name in ("first", "second"))
    path = tmp_path / "run.toml"
    path.write_text(f'name = "watcher"\n[strategy]\nuse = "watcher.py:Watcher"\n{limits}\n{first}\n{second}')
    return path


def test_an_order_leaves_before_the_next_frame_and_carries_the_frame_that_it_answers(
    config: Path, tmp_path: Path
) -> None:
    run = run_backtest(config, tmp_path / "runs", started=0, with_report=False)
    summary = (run / "summary.json").read_text()
    counted = {name: int(summary.partition(f'"{name}": ')[2].partition(",")[0]) for name in ("met", "wrong")}
    assert counted["met"] > 3
    assert counted["wrong"] == 0
    assert '"misdated": 0' in summary
    columns = ["trade_id", "trigger_ns", "created_ns", "instrument"]
    orders = pq.read_table(run / "orders.parquet", columns=columns).to_pylist()
    by_book = [order for order in orders if order["trade_id"] == 1]
    by_timer = [order for order in orders if order["trade_id"] == 2]
    assert len(by_book) > 3
    assert len(by_timer) > 3
    # In a replay no time passes between a frame and its turn.
    assert all(order["trigger_ns"] == order["created_ns"] for order in by_book)
    # A timer's order answers no frame; the last one that happened to come has nothing to do with it.
    assert all(order["trigger_ns"] == 0 for order in by_timer)
