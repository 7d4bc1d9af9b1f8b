"""What must hold of every strategy, whatever happens: checked over events by chance, of which the shortest that fails
is shown.

    def test_what_must_hold() -> None:
        check_properties(Mine, {"instrument": "a"}, {"a": linear()}, position_max={"a": 1})

Needs hypothesis (the extra `testing`); the strategy runs uncompiled, in a `Harness`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosswire.engine.testing.answers import (
    Answer,
    Change,
    QuoteAnswer,
    Sent,
    SentQuote,
    accept,
    fill,
    ignore,
    miss,
    refuse,
    reject,
    rest,
    veto,
)
from crosswire.engine.testing.harness import Harness
from crosswire.engine.testing.instruments import Number, exact
from crosswire.risk.gate import Veto
from crosswire.strategies.desk import AMEND_ORDER
from crosswire.strategies.interface import Strategy
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.order import OrderState
from crosswire.venues.side import BUY, SELL

try:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("check_properties needs hypothesis: pip install 'crosswire[testing]'") from error

EVENTS_MAX = 24  # of one example
EXAMPLES = 100
MIDDLE_TICKS = 10_000  # around which prices are drawn; near enough to each other for books of two venues to cross
NEAR_TICKS = 40
LOTS_MAX = 50
LEVELS_MAX = 3
WAIT_NS_MAX = 200_000_000

Levels = tuple[tuple[int, int], ...]  # ticks and lots


@dataclass(frozen=True)
class BookArrives:
    """A new book, one side of which may be empty."""

    name: str
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class BookIsLost:
    """A gap or a halt."""

    name: str


@dataclass(frozen=True)
class MarketTrades:
    """A trade of others."""

    name: str
    side: int
    ticks: int
    lots: int


@dataclass(frozen=True)
class TimePasses:
    """Nothing but answers and timers."""

    duration_ns: int


@dataclass(frozen=True)
class MarketComes:
    """To an order of ours that rests, if one does: the `number`th of them, counted round."""

    name: str
    number: int
    lots: int


Event = BookArrives | BookIsLost | MarketTrades | MarketComes | TimePasses


def check_properties(
    strategy_class: type[Strategy],
    parameters: dict[str, Any],
    instruments: Mapping[str, Instrument],
    *,
    position_max: Mapping[str, Number] | None = None,
    examples: int = EXAMPLES,
    holding: dict[str, HoldingTerms] | None = None,
    unsupported: Mapping[str, Collection[int]] | None = None,
) -> None:
    """Check what must hold of a strategy over `examples` runs of up to EVENTS_MAX events each.

    It raises nothing, whatever comes in whatever order; it sends, quotes and amends only on a valid book, at prices and
    sizes above 0, and quotes no bid at or above its ask; the same events bring the same orders, quotes, cancels and
    amends; and what is held with what is open is never more than `position_max`, in the size currency, of the
    instruments that are in it. A quote counts with the one that it replaces until it is answered, as the gate counts.
    AssertionError, or what the strategy raised, with the shortest events that were found to bring it about.
    """
    if unknown := [name for name in position_max or {} if name not in instruments]:
        raise ValueError(f"position_max: {unknown[0]!r} is none of the instruments: {', '.join(instruments)}")
    limits_lots = {
        name: int(exact(most) * E9 / instruments[name].lot_e9) for name, most in (position_max or {}).items()
    }
    scenarios = st.tuples(
        st.lists(_events(list(instruments)), min_size=1, max_size=EVENTS_MAX),
        st.lists(_answers(), max_size=EVENTS_MAX),
        st.lists(_changes_answers(), max_size=EVENTS_MAX),
    )

    def make() -> Harness:
        return Harness(strategy_class, parameters, dict(instruments), holding=holding, unsupported=unsupported)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        derandomize=True,  # the same events each time: a test that fails now and then teaches nobody
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios)
    def check(scenario: tuple[list[Event], list[Answer], list[Answer]]) -> None:
        first, second = (_played(make, *scenario, limits_lots) for _ in range(2))
        assert first == second, "the same events brought other orders: what it does depends on more than it was told"

    check()


def _events(names: Sequence[str]) -> st.SearchStrategy[Event]:
    name = st.sampled_from(names)
    ticks = st.integers(MIDDLE_TICKS - NEAR_TICKS, MIDDLE_TICKS + NEAR_TICKS)
    lots = st.integers(1, LOTS_MAX)
    return st.one_of(
        st.builds(_book, name, ticks, st.integers(1, 3), *[st.lists(lots, max_size=LEVELS_MAX) for _ in range(2)]),
        st.builds(BookIsLost, name),
        st.builds(MarketTrades, name, st.sampled_from([BUY, SELL]), ticks, lots),
        st.builds(MarketComes, name, st.integers(0, 3), lots),
        st.builds(TimePasses, st.integers(1, WAIT_NS_MAX)),
    )


def _book(name: str, bid_ticks: int, apart_ticks: int, bids: list[int], asks: list[int]) -> BookArrives:
    return BookArrives(
        name,
        tuple((bid_ticks - place, lots) for place, lots in enumerate(bids)),
        tuple((bid_ticks + apart_ticks + place, lots) for place, lots in enumerate(asks)),
    )


def _answers() -> st.SearchStrategy[Answer]:
    after_ns = st.integers(0, WAIT_NS_MAX)
    return st.one_of(
        st.builds(fill, st.none() | st.integers(1, LOTS_MAX), st.none(), after_ns),
        st.builds(miss, after_ns),
        st.builds(reject, after_ns),
        st.builds(rest, after_ns),
        st.builds(veto),
    )


def _changes_answers() -> st.SearchStrategy[Answer]:
    after_ns = st.integers(0, WAIT_NS_MAX)
    return st.one_of(st.builds(accept, after_ns), st.builds(refuse, after_ns), st.builds(ignore), st.builds(veto))


def _quote_answer(bid: Answer, ask: Answer) -> QuoteAnswer:
    """Put two answers to orders together: the gate refuses both sides or neither, and so may the venue."""
    if OrderState.VETOED in (bid.state, ask.state):
        return veto()
    return bid if bid.state == ask.state == OrderState.REJECTED else (bid, ask)


def _played(
    make: Callable[[], Harness],
    events: Sequence[Event],
    answers: Sequence[Answer],
    changes_answers: Sequence[Answer],
    limits_lots: Mapping[str, int],
) -> list[tuple[Any, ...]]:
    """Play the events to a new strategy; list what it asked for."""
    harness = make()
    left = list(answers)
    changes_left = list(changes_answers)

    def decide(sent: Sent) -> Answer:
        _check_order(harness, "an order", sent, sent.price_ticks, sent.qty_lots)
        return left.pop(0) if left else sent.answer

    def decide_quote(quote: SentQuote) -> QuoteAnswer:
        for sent in quote.sides:
            _check_order(harness, "a quote", sent, sent.price_ticks, sent.qty_lots)
        return _quote_answer(left.pop(0), left.pop(0)) if len(left) > 1 else quote.answer

    def decide_change(change: Change) -> Answer:
        if change.kind == AMEND_ORDER:
            _check_order(harness, "an order", change.sent, change.price_ticks, change.qty_lots)
        return changes_left.pop(0) if changes_left else change.answer

    harness.decide = decide
    harness.decide_quote = decide_quote
    harness.decide_change = decide_change
    for event in events:
        _happen(harness, event)
        _check_limits(harness, limits_lots)
    # The answers that are still to come: most of them take longer than the few events of an example.
    harness.advance(WAIT_NS_MAX)
    _check_limits(harness, limits_lots)
    harness.finish()
    for sent in harness.orders:
        _check_kind("a quote" if sent.order.is_quote else "an order", sent)
    _check_quotes(harness)
    return [
        (each.name, each.side, each.time_in_force, each.price_ticks, each.qty_lots, each.sent_ns, each.order.is_quote)
        for each in harness.orders
    ] + [
        (each.kind, each.sent.order.client_order_id, each.price_ticks, each.qty_lots, each.asked_ns)
        for each in harness.changes
    ]


def _happen(harness: Harness, event: Event) -> None:
    if isinstance(event, BookArrives):
        harness.set_book_ticks(event.name, event.bids, event.asks)
    elif isinstance(event, BookIsLost):
        harness.lose_book(event.name)
    elif isinstance(event, MarketTrades):
        harness.trade_ticks(event.name, event.side, event.ticks, event.lots)
    elif isinstance(event, MarketComes):
        harness.advance(harness.step_ns)
        if resting := harness.resting(event.name):
            sent = resting[event.number % len(resting)]
            harness.fill_at_once(sent, min(event.lots, sent.order.qty_lots - sent.order.filled_lots))
    else:
        harness.advance(event.duration_ns)


def _check_order(harness: Harness, what: str, sent: Sent, price_ticks: int, qty_lots: int) -> None:
    assert harness.desk.books[sent.instrument].valid != 0, f"{what} on {sent.name}, whose book is not valid"
    assert price_ticks > 0, f"{what} on {sent.name} at {price_ticks} ticks"
    assert qty_lots > 0, f"{what} on {sent.name} of {qty_lots} lots"


def _check_kind(what: str, sent: Sent) -> None:
    """Look at what the gate refuses before anybody is asked for an answer."""
    terms = f"of side {sent.side} and time in force {sent.time_in_force}"
    assert sent.is_of_known_kind, f"{what} on {sent.name} {terms}"


def _check_quotes(harness: Harness) -> None:
    """Look at the quotes whose terms the gate refuses: it does so before anybody is asked for an answer."""
    for quote in harness.quotes:
        if quote.bid.order.reason == Veto.BAD_ORDER and quote.bid.order.state == OrderState.VETOED:
            for sent in quote.sides:
                _check_order(harness, "a quote", sent, sent.price_ticks, sent.qty_lots)
            bid_ticks, ask_ticks = quote.bid.price_ticks, quote.ask.price_ticks
            raise AssertionError(f"a quote on {quote.name} with its bid of {bid_ticks} ticks at its ask of {ask_ticks}")


def _check_limits(harness: Harness, limits_lots: Mapping[str, int]) -> None:
    for name, most in limits_lots.items():
        position = harness.desk.positions[harness.index(name)]
        longest = position.position_lots + position.open_buy_lots
        shortest = position.position_lots - position.open_sell_lots
        assert longest <= most, f"{name}: {longest} lots held and open, more than {most}"
        assert -shortest <= most, f"{name}: {shortest} lots held and open, more than {most} short"
