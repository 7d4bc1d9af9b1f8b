"""The harness vetoes an order that is of no side, or of no time in force, as the gate does."""

import msgspec
import pytest

from crosswire import BUY, GTC, POST_ONLY, SELL, BuildContext, Desk, OrderState, Strategy, i64, on_book, quote, submit
from crosswire.risk.gate import Veto
from crosswire.testing import Harness, check_properties, linear


class Terms(msgspec.Struct):
    side: int
    time_in_force: int
    quotes: bool = False


class Asker(Strategy):
    side: i64
    time_in_force: i64
    quotes: i64

    @classmethod
    def build(cls, parameters: Terms, _context: BuildContext) -> "Asker":
        return cls(side=parameters.side, time_in_force=parameters.time_in_force, quotes=int(parameters.quotes))


@on_book.register(Asker)
def ask(strategy: Asker, desk: Desk, instrument: int) -> None:
    if strategy.quotes != 0:
        quote(desk, instrument, 999, 1, 1000, 1, time_in_force=strategy.time_in_force)
    else:
        submit(desk, instrument, strategy.side, 1000, 1, time_in_force=strategy.time_in_force)


@pytest.mark.parametrize(
    ("side", "time_in_force", "state", "held_lots"),
    [
        (BUY, GTC, OrderState.FILLED, 1),
        (SELL, GTC, OrderState.FILLED, -1),
        (-1, GTC, OrderState.VETOED, 0),
        (2, GTC, OrderState.VETOED, 0),
        (BUY, -1, OrderState.VETOED, 0),
        (BUY, 4, OrderState.VETOED, 0),
    ],
)
def test_an_order_of_no_known_kind_is_vetoed(side: int, time_in_force: int, state: OrderState, held_lots: int) -> None:
    harness = Harness(Asker, {"side": side, "time_in_force": time_in_force}, {"q": linear()})
    harness.set_book("q", bids=[(90, 1)], asks=[(110, 1)])
    harness.advance(1_000)
    (sent,) = harness.orders
    reason = Veto.BAD_ORDER if state == OrderState.VETOED else Veto.NONE
    assert (sent.order.state, sent.order.reason, harness.position_lots("q")) == (state, reason, held_lots)


@pytest.mark.parametrize(
    ("time_in_force", "reason"), [(POST_ONLY, Veto.NONE), (-1, Veto.BAD_ORDER), (4, Veto.BAD_ORDER)]
)
def test_so_is_a_quote(time_in_force: int, reason: Veto) -> None:
    harness = Harness(Asker, {"side": BUY, "time_in_force": time_in_force, "quotes": True}, {"q": linear()})
    harness.set_book("q", bids=[(90, 1)], asks=[(110, 1)])
    harness.advance(1_000)
    state = OrderState.LIVE if reason == Veto.NONE else OrderState.VETOED
    assert [(sent.order.state, sent.order.reason) for sent in harness.orders] == [(state, reason)] * 2


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"side": -1, "time_in_force": GTC}, "an order on q of side -1 and time in force 2"),
        ({"side": BUY, "time_in_force": 9}, "an order on q of side 0 and time in force 9"),
        ({"side": BUY, "time_in_force": 9, "quotes": True}, "a quote on q of side 0 and time in force 9"),
    ],
)
def test_no_strategy_that_asks_for_one_has_the_properties(terms: dict[str, int], said: str) -> None:
    with pytest.raises(AssertionError, match=f"^{said}"):
        check_properties(Asker, terms, {"q": linear()})
