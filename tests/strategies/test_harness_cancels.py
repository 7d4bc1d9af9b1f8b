"""The harness takes `cancel_all` and `cancel_all_of` as the engine does: what is open, and not yet being cancelled."""

import msgspec
import pytest

from crosswire import BUY, BuildContext, Desk, Strategy, cancel_all, cancel_all_of, i64, on_book, on_book_lost, submit
from crosswire.strategies.desk import CANCEL_ORDER
from crosswire.testing import Harness, linear
from crosswire.venues.order import POST_ONLY, OrderState


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing can be told."""


class Quoter(Strategy):
    """Rests two bids at each instrument; a lost book takes away those there, and twice one takes away all."""

    lost: i64

    @classmethod
    def build(cls, _parameters: Parameters, _context: BuildContext) -> "Quoter":
        return cls()


@on_book.register(Quoter)
def look(strategy: Quoter, desk: Desk, instrument: int) -> None:
    if desk.positions[instrument].open_orders == 0:
        submit(desk, instrument, BUY, 1_000, 1, time_in_force=POST_ONLY)
        submit(desk, instrument, BUY, 999, 1, time_in_force=POST_ONLY)


@on_book_lost.register(Quoter)
def lose(strategy: Quoter, desk: Desk, instrument: int) -> None:
    strategy.lost += 1
    if strategy.lost == 1:
        cancel_all_of(desk, instrument)
    else:
        cancel_all(desk)
        cancel_all(desk)


@pytest.fixture
def harness() -> Harness:
    made = Harness(Quoter, {}, {"a": linear(), "b": linear()})
    for name in ("a", "b"):
        made.set_book(name, bids=[(100, 1)], asks=[(101, 1)])
    made.advance(1_000)
    assert [len(made.resting(name)) for name in ("a", "b")] == [2, 2]
    return made


def test_what_is_open_is_cancelled_once(harness: Harness) -> None:
    harness.lose_book("a")
    assert [(change.kind, change.sent.name) for change in harness.changes] == [(CANCEL_ORDER, "a")] * 2
    harness.lose_book("b")
    assert [(change.kind, change.sent.name) for change in harness.changes[2:]] == [(CANCEL_ORDER, "b")] * 2
    harness.advance(1_000)
    assert {sent.order.state for sent in harness.orders} == {OrderState.CANCELLED}
