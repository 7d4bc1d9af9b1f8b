"""Goal: the loop does what an operator asks, all of it or nothing, believes nothing in the page, and takes it back.

Method: an engine whose sessions are ready; commands are written as another process writes them, whatever is in them.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crosswire.engine.config import ConfigError
from crosswire.engine.control.mailbox import (
    ACCEPTED,
    EVERY,
    ITEMS_MAX,
    LOOK_NS,
    CommandKind,
    Flattening,
    Mailbox,
    Outcome,
    client_bytes,
    client_text,
    write_command,
)
from crosswire.engine.control.obey import hear_operator
from crosswire.engine.control.parameters import Table, add_strategy, named_parameters, numbers_of, set_control
from crosswire.engine.control.words import CommandTeller
from crosswire.nic.memory.raw import load_i64, store_i64
from crosswire.nic.memory.struct import Array, address_of, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.risk.exposure import Exposure, set_lot_values
from crosswire.risk.gate import InstrumentLimits, Veto
from crosswire.risk.limits import SUM_MAX, lots_provable, prove_ranges
from crosswire.risk.position import Position
from crosswire.risk.trading_state import TradingState, Why, change_state
from crosswire.strategies.interface import BuildContext, Strategy
from crosswire.strategies.parameters import Parameter
from crosswire.venues.order import ENGINES_OWN, IOC, OrderState, RejectReason, ReportKind, open_lots
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL
from tests.support.order_desk import OrderDesk

CLIENT = client_bytes("alice")
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


class Operator:
    """Writes commands to an engine's mailbox."""

    def __init__(self, desk: OrderDesk) -> None:
        self.desk, self.engine, self.mailbox = desk, desk.engine, Mailbox()
        if self.engine.control.parameter_count == 0:
            set_control(desk.run.core, desk.run.config)
        control = self.engine.control
        control.mailbox, control.seen, control.look_ns = address_of(self.mailbox), 0, 0
        control.flatten.state = control.is_killed = self.engine.gate.flattening = 0

    def ask(self, kind: int, *selectors: int, items: list[tuple[int, int]] | None = None) -> Outcome:
        """Write a command, and have the loop look."""
        number = self.mailbox.number[0] + 1
        venue, instrument, strategy = selectors or (EVERY, EVERY, EVERY)
        write_command(self.mailbox, number, kind, (venue, instrument, strategy), CLIENT, items or [])
        self.look()
        assert self.mailbox.answered[0] == number
        return Outcome(self.mailbox.outcome)

    def look(self) -> None:
        """Have the loop look now."""
        self.desk.later()
        due_ns = hear_operator(self.engine, self.desk.now_ns)
        assert due_ns == self.desk.now_ns + LOOK_NS

    def values(self) -> list[int]:
        control = self.engine.control
        return [load_i64(control.parameters[place].address) for place in range(control.parameter_count)]


@pytest.fixture
def operator(desk: OrderDesk) -> Any:
    operator = Operator(desk)
    before = operator.values()
    yield operator
    control = desk.engine.control
    control.mailbox = control.flatten.state = desk.gate.flattening = desk.engine.state.winding_down = 0
    for place, value in enumerate(before):
        store_i64(control.parameters[place].address, value)
    for position in positions_of(desk):
        position.position_lots = 0


def positions_of(desk: OrderDesk) -> list[Position]:
    engine = desk.engine
    seats = [engine.seats[number].desk for number in range(engine.seat_count)]
    return [each.positions[index] for each in (engine.gate, *seats) for index in range(engine.market.count)]


def test_a_run_without_a_mailbox_hears_nothing(desk: OrderDesk) -> None:
    assert desk.engine.control.mailbox == 0
    assert hear_operator(desk.engine, desk.now_ns) == NEVER_NS


def test_it_is_looked_at_when_due_and_each_command_is_taken_once(operator: Operator) -> None:
    assert operator.ask(CommandKind.PAUSE) == Outcome.DONE
    desk, control = operator.desk, operator.engine.control
    taken = sum(control.outcomes)
    write_command(operator.mailbox, 2, CommandKind.RESUME, (EVERY,) * 3, CLIENT, [])
    assert hear_operator(operator.engine, desk.now_ns + LOOK_NS - 1) == desk.now_ns + LOOK_NS
    assert operator.mailbox.answered[0] == 1
    operator.look()
    operator.look()
    assert operator.mailbox.answered[0] == 2
    assert sum(control.outcomes) == taken + 1


def test_pause_cancels_and_lets_nothing_pass_until_resume(operator: Operator) -> None:
    desk = operator.desk
    order = desk.live()
    assert operator.ask(CommandKind.PAUSE) == Outcome.DONE
    assert (desk.gate.state, desk.gate.why) == (TradingState.CANCEL_ONLY, Why.OPERATOR)
    assert desk.records()["CANCEL_SENT"] == desk.engine.venue_count
    assert desk.last["COMMAND"]["command"] == CommandKind.PAUSE
    assert desk.order() is None
    assert desk.heard.reason == Veto.CANCEL_ONLY
    assert operator.ask(CommandKind.REDUCE_ONLY) == Outcome.UNCHANGED
    assert desk.gate.state == TradingState.CANCEL_ONLY
    assert operator.ask(CommandKind.RESUME) == Outcome.DONE
    assert (desk.gate.state, desk.gate.why) == (TradingState.ACTIVE, Why.NONE)
    assert operator.ask(CommandKind.RESUME) == Outcome.UNCHANGED
    desk.say(order, ReportKind.CANCELLED)
    assert desk.order() is not None


@pytest.mark.parametrize("why", [Why.ALARM, Why.LOSS_LIMIT, Why.LEG_RISK, Why.BOOK_LOST, Why.DEAD_MAN])
def test_resume_takes_back_what_the_operator_asked_for_and_nothing_else(operator: Operator, why: Why) -> None:
    gate = operator.desk.gate
    change_state(gate, TradingState.REDUCE_ONLY, why, operator.desk.now_ns)
    assert operator.ask(CommandKind.RESUME) == Outcome.UNCHANGED
    assert operator.ask(CommandKind.PAUSE) == Outcome.DONE
    gate_now = operator.desk.later()
    change_state(gate, TradingState.REDUCE_ONLY, why, gate_now)
    assert operator.ask(CommandKind.RESUME) == Outcome.DONE
    if why != Why.BOOK_LOST:  # which went back when marks were young again
        assert (gate.state, gate.why) == (TradingState.REDUCE_ONLY, why)


@pytest.mark.parametrize(
    ("selectors", "places"),
    [
        ((EVERY, 0, EVERY), [0, 1]),
        ((EVERY, EVERY, 1), [1, 3]),
        ((0, EVERY, 0), [0, 2]),
        ((EVERY, 1, 1), [3]),
        ((1, 0, EVERY), []),
    ],
)
def test_cancel_all_cancels_what_is_named_and_trading_goes_on(
    operator: Operator, selectors: tuple[int, int, int], places: list[int]
) -> None:
    """Four orders: of instruments 0 and 1, each of two strategies."""
    desk = operator.desk
    orders = [desk.live(instrument, BUY) for instrument in (0, 0, 1, 1)]
    for order, strategy in zip(orders, (0, 1, 0, 1), strict=True):
        move(desk, order, strategy)
    assert operator.ask(CommandKind.CANCEL_ALL, *selectors) == Outcome.DONE
    cancelled = [place for place, order in enumerate(orders) if order.state == OrderState.PENDING_CANCEL]
    assert cancelled == places
    assert desk.gate.state == TradingState.ACTIVE
    for order in orders:
        move(desk, order, 0)


def move(desk: OrderDesk, order: Any, strategy: int) -> None:
    """Make an order another strategy's."""
    for sign, number in ((-1, order.strategy), (1, strategy)):
        position = desk.engine.seats[number].desk.positions[order.instrument]
        position.open_orders += sign
        position.open_buy_lots += sign * open_lots(order)
    order.strategy = strategy


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("beyond", [-2, 100])
def test_who_is_not_there_has_no_orders_to_cancel(operator: Operator, place: int, beyond: int) -> None:
    operator.desk.live()
    operator.desk.records()
    selectors = [EVERY] * 3
    selectors[place] = beyond
    assert operator.ask(CommandKind.CANCEL_ALL, *selectors) == Outcome.BAD_SELECTOR
    assert operator.ask(CommandKind.PAUSE, *selectors) == Outcome.BAD_SELECTOR
    assert "CANCEL_SENT" not in operator.desk.records()


def test_cancel_all_of_a_venue_is_one_message(operator: Operator) -> None:
    desk = operator.desk
    desk.records()
    assert operator.ask(CommandKind.CANCEL_ALL, 1, EVERY, EVERY) == Outcome.DONE
    assert desk.records()["CANCEL_SENT"] == 1
    assert desk.last["CANCEL_SENT"]["venue"] == 1


def test_kill_ends_the_run_and_says_who(operator: Operator) -> None:
    engine = operator.engine
    assert operator.ask(CommandKind.KILL) == Outcome.DONE
    assert (engine.state.winding_down, engine.state.leaving_why) == (1, Why.LEAVING)
    assert client_text(bytes(engine.control.killer)) == "alice"
    assert operator.ask(CommandKind.RESUME) == Outcome.LEAVING


def test_a_set_is_whole_or_not_at_all(operator: Operator) -> None:
    engine = operator.engine
    named = {each.name: each for each in named_parameters(engine)}
    order, position = (
        named[f"venue.starbase.instrument.BTC-PERPETUAL.limits.{each}_max"] for each in ("order", "position")
    )
    before = operator.values()
    good = numbers_of(engine, [(order.name, order.now / 2), (position.name, position.now / 2)])
    assert operator.ask(CommandKind.SET, items=[good[0], (position.place, 0)]) == Outcome.OUT_OF_RANGE
    assert operator.mailbox.detail == 1
    assert operator.ask(CommandKind.SET, items=[good[0], (len(before), 1)]) == Outcome.BAD_PARAMETER
    assert operator.ask(CommandKind.SET, items=[good[0], good[0]]) == Outcome.BAD_PARAMETER
    assert operator.ask(CommandKind.SET, items=[(position.place, good[0][1] - 1)]) == Outcome.CONTRADICTION
    assert operator.values() == before
    operator.desk.records()
    assert operator.ask(CommandKind.SET, items=good) == Outcome.DONE
    assert [operator.values()[place] for place, _ in good] == [value for _, value in good]
    assert operator.desk.records()["COMMAND_ITEM"] == 2
    assert operator.desk.order(lots=good[0][1] + 1) is None
    assert operator.desk.heard.reason == Veto.ORDER_SIZE


def test_what_is_proven_grows_with_a_limit_and_never_shrinks(operator: Operator) -> None:
    engine = operator.engine
    limits, exposure = engine.gate.limits[0], engine.gate.exposures[0]
    named = {each.name: each for each in named_parameters(engine)}
    position = named["venue.starbase.instrument.BTC-PERPETUAL.limits.position_max"]
    order_lots, proven = limits.order_lots_max, exposure.lots_proven
    ((place, lots),) = numbers_of(engine, [(position.name, position.now * 3)])
    assert operator.ask(CommandKind.SET, items=[(place, lots)]) == Outcome.DONE
    assert exposure.lots_proven == 2 * lots + order_lots > proven
    assert operator.ask(CommandKind.SET, items=[(place, lots // 3)]) == Outcome.DONE
    assert exposure.lots_proven == 2 * lots + order_lots
    beyond = engine.control.parameters[place].most
    assert operator.ask(CommandKind.SET, items=[(place, beyond)]) == Outcome.CONTRADICTION


def test_values_are_told_in_their_units_or_refused(operator: Operator) -> None:
    engine = operator.engine
    named = {each.name: each for each in named_parameters(engine)}
    collar = named["venue.starbase.instrument.BTC-PERPETUAL.limits.price_collar_bps"]
    terms = operator.desk.run.config.venue[0].instrument[0].limits
    assert (collar.now, collar.unit) == (terms.price_collar_bps, "bps")
    assert numbers_of(engine, [(collar.name, Decimal("12.5"))]) == [(collar.place, 1_250_000)]
    for value, said in (("0.000001", "must be a multiple of 0.00001 bps"), ("10001", "must be 0.00001 to 10000 bps")):
        with pytest.raises(ValueError, match=said):
            numbers_of(engine, [(collar.name, Decimal(value))])
    with pytest.raises(ValueError, match="price_max: can't be changed"):
        numbers_of(engine, [("price_max", Decimal(1))])


def hold(desk: OrderDesk, lots: int, *own: int) -> None:
    """Have the account, and each strategy, hold lots of instrument 0."""
    desk.gate.positions[0].position_lots = lots
    for number, each in enumerate(own):
        desk.engine.seats[number].desk.positions[0].position_lots = each


def refusals(desk: OrderDesk) -> int:
    """Count what the gate has refused."""
    return sum(desk.gate.vetoes) - desk.gate.vetoes[Veto.NONE]


def flattened(desk: OrderDesk) -> dict[str, int]:
    """What the journal says of the instrument last."""
    desk.records()
    record = desk.last["FLATTENED"]
    return {name: record[name] for name in ("begun_lots", "left_lots", "tries", "ending")}


def flatten(operator: Operator) -> None:
    assert operator.ask(CommandKind.FLATTEN) == Outcome.BEGUN
    assert operator.desk.gate.state == TradingState.REDUCE_ONLY


def told(desk: OrderDesk) -> list[int]:
    """How often each strategy was told that its positions were traded away."""
    return [each.flattened for each in (desk.heard, desk.other_heard)]


def test_flatten_trades_each_strategys_part_and_tells_them_when_it_is_gone(operator: Operator) -> None:
    desk, engine = operator.desk, operator.engine
    heard, refused, before = desk.heard.orders, refusals(desk), told(desk)
    hold(desk, 30, 20, 10)
    flatten(operator)
    orders = sorted(desk.open(), key=lambda order: order.strategy)
    assert [(order.strategy, order.side, order.qty_lots, order.time_in_force) for order in orders] == [
        (0, SELL, 20, IOC), (1, SELL, 10, IOC),
    ]  # fmt: skip
    top, limits = desk.gate.tops[0], desk.gate.limits[0]
    assert all(order.is_restored == ENGINES_OWN for order in orders)
    assert all(top.bid_ticks * (1 - limits.collar_e9 / 1e9) <= order.price_ticks < top.bid_ticks for order in orders)
    operator.look()
    assert len(desk.open()) == 2  # none while one is open
    assert told(desk) == before
    for order in orders:
        desk.say(order, ReportKind.FILL, qty_lots=order.qty_lots, price_ticks=order.price_ticks)
    operator.look()
    assert refusals(desk) == refused
    assert engine.control.flatten.state == Flattening.FLAT
    assert [each.position_lots for each in positions_of(desk)] == [0] * len(positions_of(desk))
    assert (desk.heard.orders, desk.heard.fills) == (heard, 0)
    assert (told(desk), desk.heard.held_then) == ([each + 1 for each in before], 0)
    assert flattened(desk) == {"begun_lots": 30, "left_lots": 0, "tries": 2, "ending": Flattening.FLAT}


@pytest.mark.parametrize(
    ("lots", "own", "wanted"),
    [
        (10, (4, 0), [(0, SELL, 4), (0, SELL, 6)]),  # what no strategy has, the first bears
        (10, (12, -2), [(0, SELL, 10)]),
        (-3, (2, -5), [(1, BUY, 3)]),
        (0, (5, -5), []),
    ],
)
def test_it_is_the_accounts_position_that_is_traded_away(
    operator: Operator, lots: int, own: tuple[int, int], wanted: list[tuple[int, int, int]]
) -> None:
    desk = operator.desk
    refused = refusals(desk)
    hold(desk, lots, *own)
    flatten(operator)
    assert sorted((order.strategy, order.side, order.qty_lots) for order in desk.open()) == wanted
    assert refusals(desk) == refused
    assert operator.engine.control.flatten.state == (Flattening.ON if wanted else Flattening.FLAT)


@pytest.mark.parametrize("lots", [0, 5], ids=["flat", "left"])
def test_how_it_ended_is_told_until_trading_is_resumed(operator: Operator, lots: int) -> None:
    """Else "flat" would be read by who asks for another one, is refused, and holds what was bought since."""
    desk, control = operator.desk, operator.engine.control
    tries_max, control.flatten.tries_max = control.flatten.tries_max, 0
    hold(desk, lots, lots, 0)
    flatten(operator)
    assert control.flatten.state == (Flattening.LEFT if lots else Flattening.FLAT)
    assert operator.ask(CommandKind.RESUME) == Outcome.DONE
    assert control.flatten.state == Flattening.NONE
    desk.gate.asked[Why.ALARM] = TradingState.HALTED
    assert operator.ask(CommandKind.FLATTEN) == Outcome.FORBIDDEN
    assert control.flatten.state == Flattening.NONE
    desk.gate.asked[Why.ALARM] = TradingState.ACTIVE
    control.flatten.tries_max = tries_max


def test_flatten_refuses_strategies_and_resume_stops_it(operator: Operator) -> None:
    desk = operator.desk
    hold(desk, 30, 30, 0)
    before = told(desk)
    flatten(operator)
    assert desk.order(side=SELL, lots=1) is None
    assert desk.heard.reason == Veto.FLATTENING
    assert operator.ask(CommandKind.FLATTEN) == Outcome.UNCHANGED
    assert operator.ask(CommandKind.RESUME) == Outcome.DONE
    assert operator.engine.control.flatten.state == Flattening.STOPPED
    assert (told(desk), desk.heard.held_then) == ([each + 1 for each in before], 30)
    for order in desk.open():
        desk.say(order, ReportKind.CANCELLED)
    assert desk.order(side=SELL, lots=1) is not None


def test_flatten_gives_up_after_its_tries_and_says_what_remains(operator: Operator) -> None:
    desk, control = operator.desk, operator.engine.control
    tries_max, control.flatten.tries_max = control.flatten.tries_max, 3
    hold(desk, -5, -5, 0)
    before = told(desk)
    flatten(operator)
    for _ in range(4):
        for order in desk.open():
            assert (order.side, order.qty_lots) == (BUY, 5)
            desk.say(order, ReportKind.CANCELLED, reason=RejectReason.NONE)
        operator.look()
    assert (control.flatten.state, control.flatten.left) == (Flattening.LEFT, 1)
    assert flattened(desk) == {"begun_lots": -5, "left_lots": -5, "tries": 3, "ending": Flattening.LEFT}
    assert desk.open() == []
    assert told(desk) == [each + 1 for each in before]
    control.flatten.tries_max = tries_max


def test_a_strategy_is_not_told_of_a_flattening_order_that_is_refused(operator: Operator) -> None:
    desk = operator.desk
    heard, refused = desk.heard.orders, desk.gate.vetoes[Veto.SESSION_NOT_READY]
    hold(desk, 5, 5, 0)
    desk.gate.venues[0].session_state = SessionState.LOGGING_ON
    flatten(operator)
    assert desk.gate.vetoes[Veto.SESSION_NOT_READY] == refused + 1
    assert desk.heard.orders == heard
    assert desk.engine.seats[0].failure == 0


@pytest.mark.parametrize("why", [Why.ALARM, Why.DEAD_MAN])
def test_flatten_is_refused_where_cancels_alone_are_allowed(operator: Operator, why: Why) -> None:
    hold(operator.desk, 5, 5, 0)
    change_state(operator.desk.gate, TradingState.CANCEL_ONLY, why, operator.desk.now_ns)
    assert operator.ask(CommandKind.FLATTEN) == Outcome.FORBIDDEN
    assert operator.desk.open() == []


def test_commands_are_told_in_words(operator: Operator) -> None:
    teller = CommandTeller(operator.engine)
    teller.take_lines()
    operator.ask(CommandKind.PAUSE)
    assert teller.take_lines() == ["pause by alice: done"]
    operator.ask(CommandKind.RESUME)
    operator.ask(99)
    assert teller.take_lines() == ["99 by alice: bad kind (and 1 before it)"]
    assert teller.take_lines() == []
    operator.engine.control.flatten.state, operator.engine.control.flatten.left = Flattening.LEFT, 2
    assert teller.take_lines() == ["flatten: 2 instruments are still held, and its tries are used up"]
    flatten(operator)
    assert teller.take_lines() == ["flatten by alice: begun", "flatten: nothing is held"]
    assert operator.ask(CommandKind.RESUME) == Outcome.DONE
    flatten(operator)
    assert teller.take_lines() == ["flatten by alice: begun (and 1 before it)", "flatten: nothing is held"]


def any_item() -> SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(-2, 60) | NUMBERS, NUMBERS | st.integers(1, 1000))


@given(
    kind=st.integers(0, 8) | NUMBERS,
    selectors=st.tuples(*[st.integers(-1, 3) | NUMBERS] * 3),
    item_count=st.none() | NUMBERS,
    items=st.lists(any_item(), max_size=4),
    client=st.binary(min_size=32, max_size=32),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_in_the_page_is_judged_and_nothing_is_done_in_part(
    desk_run: Any, kind: int, selectors: tuple[int, int, int], item_count: int | None, items: Any, client: bytes
) -> None:
    desk = OrderDesk(desk_run)
    operator = Operator(desk)
    desk.engine.state.winding_down = 0
    before, control = operator.values(), desk.engine.control
    write_command(operator.mailbox, 1, kind, selectors, client, items)
    if item_count is not None:
        operator.mailbox.command.item_count = item_count
    operator.look()
    outcome = Outcome(operator.mailbox.outcome)
    after = operator.values()
    wanted = list(before)
    if outcome in ACCEPTED and kind == CommandKind.SET:
        assert 0 < (len(items) if item_count is None else item_count) <= ITEMS_MAX
        for item in range(control.command.item_count):
            wanted[control.command.items[item].parameter] = control.command.items[item].value
    assert after == wanted
    if outcome not in ACCEPTED:
        assert (desk.gate.state, desk.gate.asked[Why.OPERATOR], control.is_killed) == (0, 0, 0)
    client_text(client)
    control.mailbox = control.flatten.state = desk.gate.flattening = desk.engine.state.winding_down = 0
    for place, value in enumerate(before):
        store_i64(control.parameters[place].address, value)


class TunedParameters(msgspec.Struct):
    ratio: Annotated[int, Parameter("percent", "of the bids to the asks", least=101, most=200, field="ratio")]
    lots: Annotated[
        Decimal, Parameter("lots", "", least=-3, most=3, field="inner.position_lots", step=Decimal("0.5"))
    ] = Decimal(1)
    other: Annotated[int, Parameter("lots", "that stays as it was", least=0)] = 0


class Tuned(Strategy):
    ratio: i64
    edges_e9: Annotated[Array, i64, 2]
    inner: Position

    @classmethod
    def build(cls, parameters: TunedParameters, context: BuildContext) -> "Tuned":
        return cls(ratio=parameters.ratio)


def test_what_a_strategy_declares_may_be_changed_in_its_unit(desk: OrderDesk) -> None:
    table, strategy = Table(), Tuned(ratio=300)
    add_strategy(table, desk.gate, 0, "mine", strategy)
    assert [each.name for each in table.parameters] == [
        "strategy.mine.parameters.ratio",
        "strategy.mine.parameters.lots",
    ]
    ratio, lots = table.parameters
    assert (ratio.least, ratio.most) == (101, 300)  # as it is configured, it may stay
    assert (lots.least, lots.most, lots.step) == (-6, 6, Fraction(1, 2))
    assert load_i64(ratio.address) == 300
    assert lots.address == strategy.inner.address + Position.fields["position_lots"].offset


@pytest.mark.parametrize("field", ["missing", "edges_e9", "inner", "inner.missing", "ratio.more"])
def test_a_declared_field_that_is_no_number_is_one_line(
    desk: OrderDesk, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    wrong = Parameter("bps", "", least=0, most=1, field=field)
    monkeypatch.setitem(TunedParameters.__annotations__, "ratio", Annotated[int, wrong])
    with pytest.raises(ConfigError, match=f"strategy mine: parameter ratio: {field} is no number of its struct"):
        add_strategy(Table(), desk.gate, 0, "mine", Tuned())


def test_no_limit_can_be_set_beyond_what_is_proven(desk: OrderDesk) -> None:
    """With every instrument at the most that it may be set to, sums and products stay in range."""
    gate, values_e9 = desk.gate, 0
    for index in range(gate.instrument_count):
        instrument, limits, exposure = gate.instruments[index], gate.limits[index], Exposure()
        lots = lots_provable(gate, instrument, limits)
        assert lots > 2 * limits.position_lots_max + limits.order_lots_max
        set_lot_values(exposure, instrument, limits.price_ticks_max)
        values_e9 += lots * exposure.lot_value_e9
        asked = InstrumentLimits(price_ticks_max=limits.price_ticks_max, order_lots_max=lots)
        prove_ranges(instrument, asked, "")
    assert values_e9 < SUM_MAX


def test_what_the_sums_have_left_is_shared_out(desk: OrderDesk) -> None:
    gate, exposure, proven_e9 = desk.gate, Exposure(), desk.gate.values_proven_e9
    instrument, limits = gate.instruments[0], gate.limits[0]
    set_lot_values(exposure, instrument, limits.price_ticks_max)
    gate.values_proven_e9 = SUM_MAX - 1 - 100 * gate.instrument_count * exposure.lot_value_e9
    provable = lots_provable(gate, instrument, limits)
    gate.values_proven_e9 = proven_e9
    assert provable == 2 * limits.position_lots_max + limits.order_lots_max + 100
