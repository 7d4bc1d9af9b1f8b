"""What a strategy writes to all that it can reach changes nothing that the gate judges by.

It takes addresses for it: what is written by name, `crosswire check` refuses.
"""

from pathlib import Path

import pytest

from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.gate import Veto
from tests.support.short_run import finished_run, two_seconds

pytestmark = pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")

STRATEGY = """
import msgspec
from crosswire.nic.memory.struct import address_of, i64, view
from crosswire.risk.position import Position
from crosswire.strategies.desk import Desk, amend, submit
from crosswire.strategies.interface import BuildContext, Strategy, on_book, on_order
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument
from crosswire.venues.order import Order, OrderState, TimeInForce
from crosswire.venues.side import BUY


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    meddles: int


class Meddler(Strategy):
    seen: i64
    meddles: i64
    last_order_id: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Meddler":
        return cls(meddles=parameters.meddles)


@on_book.register(Meddler)
def buy(strategy: Meddler, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    strategy.seen += 1
    if strategy.seen % 4 == 0:
        submit(desk, instrument, BUY, book.ask_ticks, 100)
    if strategy.meddles != 0:
        for index in range(desk.instrument_count):
            position = view(Position, address_of(desk.positions[index]))
            position.position_lots = -1_000_000
            position.open_buy_lots = 1 << 40
            position.open_orders = 1 << 40
            view(Instrument, address_of(desk.instruments[index])).underlying = 7
            view(Book, address_of(desk.books[index])).receive_time_ns = 1 << 62


@on_order.register(Meddler)
def forget(strategy: Meddler, desk: Desk, order: Order) -> None:
    if strategy.meddles != 0:
        told = view(Order, address_of(order))
        told.qty_lots = 1 << 40
        told.filled_lots = 0
        told.instrument = 0
        told.state = OrderState.FREE
"""


def test_a_strategy_that_writes_all_it_can_reach_gets_the_same_verdicts(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, 1)
    (config.parent / "meddler.py").write_text(STRATEGY)
    text = config.read_text()
    limits = text[text.index("[limits]") :]
    seen = []
    for meddles in (0, 1):
        config.write_text(
            f'name = "meddling"\n[strategy]\nuse = "meddler.py:Meddler"\n[strategy.parameters]\nmeddles = {meddles}\n'
            + limits.replace("position_max = 5\n", "position_max = 2\n")
            .replace("net_max = 50_000", "net_max = 900_000")
            .replace("net_max = 100_000", "net_max = 900_000")
        )
        run = finished_run(config)
        gate = run.engine.gate
        lots = [gate.positions[index].position_lots for index in range(2)]
        assert lots[1] <= 2_000
        seen.append((run.digests(), lots, list(gate.vetoes), gate.alarms, run.engine.state.fills))
    assert seen[0][4] > 0
    assert seen[0][2][Veto.POSITION] > 10
    assert seen[1] == seen[0]
