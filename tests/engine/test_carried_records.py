"""Record by record: what a journal's reader carries of it, and what the next run's journal says of that."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.engine.build.run import Core, build_core
from crosswire.engine.config import RunConfig, load_config
from crosswire.engine.journal.carry import FILLS_CARRIED, Carried, last_carried
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import net_held, open_orders, resumed_at, write_opening, write_record
from crosswire.engine.journal.reconcile import reconcile
from crosswire.engine.records import IDS_RESERVED
from crosswire.engine.report.currency import e9
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal, SharedJournal, segment_name
from crosswire.nic.journal.journal import Journal
from crosswire.nic.journal.reader import JournalError, read_journal
from crosswire.risk.position import add_fill
from crosswire.risk.records import (
    KINDS,
    VERSION,
    AmendSent,
    ClosedRecord,
    DifferenceRecord,
    ExecutionKnown,
    ExecutionsRecord,
    FillRecord,
    IdsRecord,
    NotSent,
    OrderRecord,
    OrderSent,
    RecordKind,
    ReportRecord,
    SessionRecord,
)
from crosswire.venues.instrument import Kind, Payoff, base_e9
from crosswire.venues.order import ORDERS_BITS, ORDERS_MAX, AmendState, Applied, OrderState, ReportKind, TimeInForce
from crosswire.venues.session import ResumedFill, SessionState
from crosswire.venues.side import BUY, SELL
from tests.support.left_run import HELD, example, held, leave, taken_over

ID, OTHER = 9 << ORDERS_BITS | 3, 10 << ORDERS_BITS | 4
TERMS = {"venue": 0, "instrument": 1, "side": 1, "time_in_force": 2, "price_ticks": 100, "qty_lots": 4}


def carried_of(folder: Path, records: Callable[[Journal], None], name: str = "starbase") -> Carried:
    config = example(name, folder)
    leave(config, folder / "runs", records=records)
    carried = last_carried(folder / "runs" / load_config(config).name)
    assert carried is not None
    return carried


def sent(journal: Journal, client_order_id: int = ID, **values: int) -> None:
    write_record(journal, OrderSent, **(TERMS | {"client_order_id": client_order_id} | values))


def said(journal: Journal, kind: ReportKind, outcome: Applied = Applied.UPDATED, **values: int) -> None:
    fields = {"client_order_id": ID, "report_kind": kind, "outcome": outcome}
    write_record(journal, ReportRecord, **(fields | values))


def amended(journal: Journal, client_order_id: int = ID) -> None:
    write_record(journal, AmendSent, client_order_id=client_order_id, price_ticks=99, qty_lots=9)


def filled(journal: Journal, lots: int, **values: int) -> None:
    fields = {"client_order_id": ID, "instrument": 1, "side": 1, "price_ticks": 100, "qty_lots": lots}
    write_record(journal, FillRecord, **(fields | values))


ASKED = {"amend_price_ticks": 99, "amend_lots": 9}
OWN = {"exchange_order_id": 70, "queued": 1, "price_ticks": 98, "qty_lots": 7}


@pytest.mark.parametrize(
    ("steps", "changed"),
    [
        ([], {}),
        ([amended], ASKED),
        ([lambda journal: amended(journal, OTHER)], {}),
        ([amended, lambda journal: write_record(journal, NotSent, client_order_id=ID, is_amend=1)], {}),
        ([amended, lambda journal: write_record(journal, NotSent, client_order_id=OTHER, is_amend=1)], ASKED),
        ([lambda journal: write_record(journal, NotSent, client_order_id=OTHER)], {}),
        ([lambda journal: write_record(journal, NotSent, client_order_id=ID)], None),
        ([lambda journal: said(journal, ReportKind.ACK, **OWN)], {"exchange_order_id": 70, "queued": 1}),
        ([lambda journal: said(journal, ReportKind.ACK, client_order_id=OTHER, **OWN)], {}),
        ([lambda journal: said(journal, ReportKind.ACK, Applied.CONTRADICTION, **OWN)], {}),
        ([lambda journal: said(journal, ReportKind.ACK, Applied.DUPLICATE, **OWN)], {}),
        ([lambda journal: said(journal, ReportKind.CONVERTED, **OWN)], {"time_in_force": int(TimeInForce.IOC)}),
        ([amended, lambda journal: said(journal, ReportKind.CANCEL_REJECTED, **OWN)], ASKED),
        (
            [amended, lambda journal: said(journal, ReportKind.AMENDED, **OWN)],
            {"price_ticks": 98, "qty_lots": 7, "queued": 1},
        ),
        ([amended, lambda journal: said(journal, ReportKind.AMEND_REJECTED, **OWN)], {}),
        ([lambda journal: said(journal, ReportKind.CANCELLED, Applied.CLOSED)], None),
        ([lambda journal: said(journal, ReportKind.CANCELLED, Applied.CLOSED, client_order_id=OTHER)], {}),
        ([lambda journal: write_record(journal, OrderRecord, client_order_id=ID)], None),
        ([lambda journal: write_record(journal, OrderRecord, client_order_id=OTHER)], {}),
        ([lambda journal: filled(journal, 3)], {"filled_lots": 3}),
        ([lambda journal: filled(journal, 4)], None),
        ([lambda journal: filled(journal, 4, client_order_id=OTHER)], {}),
    ],
)
def test_what_becomes_of_an_order(
    tmp_path: Path, steps: list[Callable[[Journal], None]], changed: dict[str, int] | None
) -> None:
    def records(journal: Journal) -> None:
        sent(journal, link=1, sequence=5)
        for step in steps:
            step(journal)

    carried = carried_of(tmp_path, records)
    if changed is None:
        assert carried.orders == {}
        return
    (order,) = carried.orders.values()
    expected = TERMS | {"client_order_id": ID, "link": 1, "sequence": 5} | changed
    assert {name: value for name, value in order.terms.items() if value or name in expected} == expected
    assert order.instrument == carried.description.instruments[1].name


def test_where_a_session_stands_goes_by_the_highest_numbers(tmp_path: Path) -> None:
    def records(journal: Journal) -> None:
        sent(journal, ID, sequence=0, quote_id=6)  # of a version that did not say which frame
        sent(journal, OTHER, sequence=3, link=-1, quote_id=2)
        sent(journal, ID + (1 << 30), sequence=7, link=1)
        sent(journal, ID + (2 << 30), sequence=5, link=1)

    carried = carried_of(tmp_path, records)
    assert (carried.numbers, carried.quote_ids["starbase"]) == ({"starbase": [3, 0, 7, 0]}, 6)


def test_a_session_without_quotes_has_given_no_quote_id(tmp_path: Path) -> None:
    for records in (sent, lambda journal: write_record(journal, SessionRecord, venue=0, sent=1)):
        assert carried_of(tmp_path, records).quote_ids == {"starbase": 0}


@pytest.mark.parametrize(("sequence", "numbers"), [(0, {}), (1, {"starbase": [1, 0, 0, 0]})])
def test_an_order_whose_frame_is_not_known_moves_no_number(
    tmp_path: Path, sequence: int, numbers: dict[str, list[int]]
) -> None:
    assert carried_of(tmp_path, lambda journal: sent(journal, sequence=sequence)).numbers == numbers


@pytest.mark.parametrize(
    ("state", "is_resumed", "is_lost"),
    [(SessionState.LOST, 1, True), (SessionState.LOST, 0, False), (SessionState.READY, 1, False)],
)
def test_a_session_is_lost_if_it_could_not_go_on(tmp_path: Path, state: int, is_resumed: int, is_lost: bool) -> None:
    def records(journal: Journal) -> None:
        numbers = {"sent": 4, "received": 3, "sent_b": 2, "received_b": 1}
        sent(journal, sequence=90)
        write_record(journal, SessionRecord, venue=0, quote_id=8)
        write_record(journal, SessionRecord, venue=0, state=state, is_resumed=is_resumed, quote_id=5, **numbers)

    carried = carried_of(tmp_path, records)
    assert carried.lost == ({"starbase"} if is_lost else set())
    assert (carried.numbers["starbase"], carried.quote_ids["starbase"]) == ([4, 3, 2, 1], 8)


def test_fills_ids_and_differences(tmp_path: Path) -> None:
    def records(journal: Journal) -> None:
        filled(journal, 2, execution_id=7, match_id=3, exchange_order_id=9)
        filled(journal, 1, side=0, execution_id=5, fee_e9=11)  # no match: the venue numbers executions itself
        write_record(journal, ExecutionKnown, venue=0, execution_id=8, match_id=4, exchange_order_id=2)
        write_record(journal, IdsRecord, reserved_id=99 << ORDERS_BITS)
        write_record(journal, DifferenceRecord, instrument=1, ours_lots=1, theirs_lots=2)

    carried = carried_of(tmp_path, records)
    names = [info.name for info in carried.description.instruments]
    for who in ("", carried.description.names.strategies[0]):
        position = carried.holdings[who, names[1]]
        assert (position.position_lots, position.fees_e9, position.fills) == (HELD[1] - 2 + 1, 11, 3)
    assert carried.execution_ids == {"starbase": 7}
    assert list(carried.fills["starbase"]) == [ResumedFill(7, 3, 9), ResumedFill(8, 4, 2)]
    assert (carried.reserved_id, carried.is_closed) == (99 << ORDERS_BITS, False)
    (difference,) = carried.differences
    assert (difference.instrument, difference.ours_lots, difference.theirs_lots) == (names[1], 1, 2)
    carried.holdings[carried.description.names.strategies[0], names[0]].position_lots = 5
    assert carried.held_lots() == {names[0]: 7, names[1]: -4}


def test_what_is_known_last_counts(tmp_path: Path) -> None:
    def records(journal: Journal) -> None:
        filled(journal, 3, side=0, execution_id=12)  # flat then
        write_record(journal, ExecutionsRecord, venue=0, execution_id=3)
        said(journal, ReportKind.ACCOUNT_END, venue=0, execution_id=2, client_order_id=0)
        write_record(journal, ClosedRecord, turns=1)

    carried = carried_of(tmp_path, records)
    assert (carried.execution_ids, carried.is_closed) == ({"starbase": 2}, True)
    assert carried.held_lots() == {carried.description.instruments[0].name: 7}


def test_as_many_fills_are_carried_as_a_frame_may_hold(tmp_path: Path) -> None:
    def records(journal: Journal) -> None:
        for number in range(1, 2_051):
            write_record(journal, ExecutionKnown, venue=0, execution_id=number, match_id=1)

    fills = carried_of(tmp_path, records).fills["starbase"]
    assert (len(fills), fills[0].execution_id, FILLS_CARRIED) == (2_048, 3, 2_048)


# Which journal is the last.


def left(config_path: Path, output: Path, kind: str, is_opened: bool = True, is_killed: bool = False) -> Path:
    """Leave a journal of some kind of run, which holds nothing."""
    config = load_config(config_path)
    core = taken_over(config_path, Carried(output, None))  # type: ignore[arg-type]
    core.engine.venue_count = len(config.venue)
    folder = make_run_folder(output, config.name, config_path.read_text())
    memory = output / "memory"
    memory.mkdir(parents=True, exist_ok=True)
    kept: Any = (
        SharedJournal(core.engine.journal, folder / FOLDER, memory)
        if is_killed
        else MemoryJournal(core.engine.journal, folder / FOLDER)
    )
    write_description(kept.journal, describe_run(core, config, config_path, kind))
    if is_opened:
        write_opening(core, config, None)
    kept._give_back() if is_killed else kept.close()
    return folder


def test_neither_a_backtest_nor_a_run_that_took_nothing_over_is_the_last(tmp_path: Path) -> None:
    config, runs = example("synthetic", tmp_path), tmp_path / "runs"
    assert last_carried(runs / "synthetic") is None
    first = leave(config, runs)
    left(config, runs, "backtest")
    left(config, runs, "live", is_opened=False)
    left(config, runs, "backtest", is_opened=False)
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert (carried.folder, carried.is_opened) == (first, True)


def test_what_a_killed_run_has_left_in_memory_is_brought_to_the_disk(tmp_path: Path) -> None:
    config, runs = example("synthetic", tmp_path), tmp_path / "runs"
    leave(config, runs)
    killed = left(config, runs, "live", is_killed=True)
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert (carried.folder, held(carried), list((runs / "memory").iterdir())) == (killed, {}, [])


def test_a_record_that_was_changed_since_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    config = example("synthetic", tmp_path)
    segment = leave(config, tmp_path / "runs", order_id=ID) / FOLDER / segment_name(0)
    data = bytearray(segment.read_bytes())
    data[len(data.rstrip(b"\0")) - 1] ^= 1  # of the last one
    segment.write_bytes(data)
    with pytest.raises(JournalError, match="a record is not what was written"):
        last_carried(tmp_path / "runs" / "synthetic")


def test_without_a_journal_there_is_nothing_to_reconcile(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"runs/synthetic: no run of this name has left a journal"):
        reconcile(example("synthetic", tmp_path), tmp_path / "runs", accept=False)


# What is taken over, and written down.


def two_strategies(folder: Path) -> Path:
    """The synthetic example with its strategy twice."""
    config = example("synthetic", folder)
    text = config.read_text()
    begin = text.index("[strategy]")
    end = text.index("\n[", text.index("[strategy.parameters]"))
    table = text[begin:end].removeprefix("[strategy]") + "\n"
    twice = "".join(f'[[strategy]]\nname = "{name}"{table}' for name in ("one", "two"))
    config.write_text(text[:begin] + twice + text[end:])
    return config


def rows(folder: Path, kind: RecordKind) -> list[dict[str, int]]:
    """A journal's records of one kind."""
    cls = KINDS[kind]
    return [
        dict(zip(cls.fields, row, strict=True))
        for batch in read_journal(folder / FOLDER).batches()
        for row in batch.of(kind, cls, VERSION).tolist()
    ]


def test_each_strategy_gets_its_own_back_and_what_is_of_none_stays_with_the_account(tmp_path: Path) -> None:
    config_path = two_strategies(tmp_path)
    carried = carried_of(tmp_path, sent, "synthetic")
    two_strategies(tmp_path)
    names = [info.name for info in carried.description.instruments]
    position = carried.holdings.pop((carried.description.names.strategies[0], names[1]))
    carried.holdings["two", names[1]] = position
    carried.holdings["", "elsewhere/FLAT"] = type(position)(fills=3)
    carried.orders[ID].strategy = "two"
    terms = carried.orders[ID].terms | {"client_order_id": OTHER}
    carried.orders[OTHER] = type(carried.orders[ID])(names[0], "gone", terms)
    core = taken_over(config_path, carried)
    engine = core.engine
    count = engine.market.count
    seats = [[seat.desk.positions[index].position_lots for index in range(2)] for seat in list(engine.seats)[:2]]
    assert seats == [[0, 0], [0, HELD[1]]]
    own = [engine.gate.own_positions[row].position_lots for row in range(2 * count)]
    assert own == [0] * (count + 1) + [HELD[1]] + [0] * (count - 2)
    assert [engine.gate.positions[index].position_lots for index in range(2)] == [HELD[0], HELD[1]]
    assert {order.client_order_id: order.strategy for order in open_orders(core)} == {ID: 1, OTHER: 0}


def test_an_order_comes_back_as_it_was(tmp_path: Path) -> None:
    def records(journal: Journal) -> None:
        sent(journal)
        sent(journal, OTHER, is_quote=1)
        said(journal, ReportKind.ACK, client_order_id=OTHER, exchange_order_id=5)
        amended(journal)
        sent(journal, ID + 5, is_quote=1)

    carried = carried_of(tmp_path, records)
    carried.execution_ids = {}
    core = taken_over(example("starbase", tmp_path), carried)
    engine = core.engine
    orders = {order.client_order_id: order for order in open_orders(core)}
    states = [
        (order.state, order.acked_ns, order.amend_state, order.is_restored, order.venue, order.instrument)
        for order in (orders[ID], orders[OTHER], orders[ID + 5])
    ]
    new, live = int(OrderState.PENDING_NEW), int(OrderState.LIVE)
    assert states == [
        (new, 0, AmendState.PENDING, 1, 0, 1),
        (live, 1, AmendState.NONE, 1, 0, 1),
        (new, 0, AmendState.NONE, 1, 0, 1),
    ]
    account = engine.gate.positions[1]
    assert (account.open_orders, account.open_sell_lots, account.quotes_pending) == (3, 9 + 4 + 4, 1)
    assert (engine.gate.venues[0].open_orders, engine.orders.count) == (3, 3)
    free = [engine.orders.free_slots[place] for place in range(ORDERS_MAX - 3)]
    assert free == [slot for slot in reversed(range(ORDERS_MAX)) if slot not in (3, 4, 8)]
    assert [engine.orders.last_execution_ids[number] for number in range(2)] == [0, 0]
    assert engine.gate.last_client_order_id == carried.reserved_id == engine.orders.counter << ORDERS_BITS


def test_an_order_of_an_instrument_that_is_configured_no_more_is_refused_by_name(tmp_path: Path) -> None:
    carried = carried_of(tmp_path, sent, "synthetic")
    carried.orders[ID].instrument = "elsewhere/ETH"
    with pytest.raises(JournalError, match=rf"order {ID} of elsewhere/ETH is not known.*: add it"):
        taken_over(example("synthetic", tmp_path), carried)


@pytest.mark.parametrize("has_sessions", [False, True])
def test_a_journal_begins_with_all_that_was_taken_over(tmp_path: Path, has_sessions: bool) -> None:
    def records(journal: Journal) -> None:
        sent(journal, sequence=5, quote_id=6)
        filled(journal, 1, execution_id=7, match_id=3, exchange_order_id=9)

    carried = carried_of(tmp_path, records)
    config_path = example("starbase", tmp_path)
    config = load_config(config_path)
    core = taken_over(config_path, carried)
    core.engine.venue_count = len(config.venue)
    folder = make_run_folder(tmp_path / "runs", config.name, "")
    kept = MemoryJournal(core.engine.journal, folder / FOLDER)
    write_description(kept.journal, describe_run(core, config, config_path, "live"))
    sessions: Any = [SimpleNamespace(numbers=[8, 2, 0, 0]), SimpleNamespace(numbers=[0, 0, 0, 0])]
    write_opening(core, config, carried, sessions if has_sessions else None)
    kept.close()
    assert rows(folder, RecordKind.OPENED) == [{"holdings": 4, "orders": 1}]
    holdings = {(row["instrument"], row["strategy"]): row["position_lots"] for row in rows(folder, RecordKind.HOLDING)}
    assert holdings == {(0, -1): 7, (1, -1): -4, (0, 0): 7, (1, 0): -4}
    (order,) = rows(folder, RecordKind.ORDER_CARRIED)
    assert [order[name] for name in ("client_order_id", "qty_lots", "filled_lots", "sequence")] == [ID, 4, 1, 5]
    assert rows(folder, RecordKind.EXECUTIONS) == [{"venue": 0, "execution_id": 7}]
    assert rows(folder, RecordKind.EXECUTION_KNOWN) == [
        {"venue": 0, "execution_id": 7, "match_id": 3, "exchange_order_id": 9}
    ]
    (session,) = rows(folder, RecordKind.SESSION)
    assert [session[name] for name in ("venue", "sent", "received", "quote_id")] == (
        [0, 8, 2, 6] if has_sessions else [0, 5, 0, 6]
    )
    reserved = core.engine.orders.counter + IDS_RESERVED
    assert rows(folder, RecordKind.IDS) == [{"reserved_id": reserved << ORDERS_BITS}]
    assert core.engine.orders.reserved == reserved


def test_a_venue_of_which_nothing_is_known_begins_at_nothing(tmp_path: Path) -> None:
    carried = carried_of(tmp_path, sent)
    config = load_config(example("starbase", tmp_path))
    resumed = resumed_at("bridge", config, carried)
    assert (tuple(resumed.numbers), resumed.quote_id, resumed.execution_id) == ((0, 0, 0, 0), 0, None)
    assert (resumed.orders, resumed.fills) == ([], [])
    assert [order.client_order_id for order in resumed_at("starbase", config, carried).orders] == [ID]


# What is hedged of what was held.


def core_holding(fills: dict[int, tuple[int, int, int]], tmp_path: Path) -> tuple[Core, RunConfig]:
    """A core of the first example with one fill (side, price in ticks, lots) of each instrument."""
    path = example("synthetic", tmp_path)
    config = load_config(path)
    core = build_core(config, path)
    for index, (side, price_ticks, lots) in fills.items():
        instrument = core.engine.market.instruments[index]
        add_fill(core.engine.gate.positions[index], instrument, side, price_ticks, lots, 0)
    return core, config


def coins(core: Core, index: int, price_ticks: int, lots: int) -> int:
    return base_e9(core.engine.market.instruments[index], price_ticks, lots)


def test_both_legs_of_a_trade_are_near_nothing_net_and_one_leg_is_what_it_is(tmp_path: Path) -> None:
    """The inverse leg counts for its coins at its own price, whatever the price is now."""
    core, config = core_holding({}, tmp_path)
    inverse, linear = 0, 1
    kinds = [core.engine.market.instruments[each].payoff for each in (inverse, linear)]
    assert kinds == [Payoff.INVERSE, Payoff.LINEAR]
    price_ticks, lots = 120_000, 500
    hedged = coins(core, inverse, price_ticks, lots) // core.engine.market.instruments[linear].lot_e9
    assert hedged > 1
    core, config = core_holding({inverse: (BUY, price_ticks, lots), linear: (SELL, 60_000, hedged)}, tmp_path)
    lot_e9 = core.engine.market.instruments[linear].lot_e9
    assert 0 <= net_held(core, config)["BTC"] < e9(lot_e9)
    core, config = core_holding({linear: (SELL, 60_000, hedged)}, tmp_path)
    assert net_held(core, config) == {"BTC": -e9(hedged * lot_e9)}
    core, config = core_holding({inverse: (SELL, price_ticks, lots)}, tmp_path)
    assert net_held(core, config) == {"BTC": -e9(coins(core, inverse, price_ticks, lots))}
    assert net_held(*core_holding({}, tmp_path)) == {}


def test_no_net_is_told_of_what_was_taken_over_at_no_price_or_is_an_option(tmp_path: Path) -> None:
    core, config = core_holding({1: (BUY, 60_000, 3)}, tmp_path)
    core.engine.gate.positions[0].position_lots = 5
    assert net_held(core, config) == {}
    core, config = core_holding({0: (BUY, 120_000, 500), 1: (BUY, 60_000, 3)}, tmp_path)
    assert net_held(core, config) != {}
    core.engine.market.instruments[1].kind = Kind.OPTION
    assert net_held(core, config) == {}
