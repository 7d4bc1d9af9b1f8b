"""What a run leaves to the next: read back exactly, and refused by name where it can't be taken over."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from crosswire.engine.adapters import find_adapter
from crosswire.engine.config import load_config
from crosswire.engine.journal.carry import FILLS_CARRIED, Carried, CarriedOrder, last_carried
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import open_orders, resumed_at, write_opening, write_record
from crosswire.engine.journal.reconcile import reconcile
from crosswire.engine.live.live import need_comparison, resume_sessions
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import hold_name, make_run_folder
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import FOLDER, MemoryJournal, segment_name
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.journal.reader import JournalError
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of, array, i64
from crosswire.risk.records import (
    AmendSent,
    DifferenceRecord,
    FillRecord,
    OrderSent,
    RecordKind,
    ReportRecord,
    SessionRecord,
)
from crosswire.venues.order import ORDERS_BITS, ORDERS_MAX, AmendState, Applied, ReportKind, is_alarm
from crosswire.venues.session import ResumedFill, SessionState
from tests.support.left_run import HELD, example, held, leave, taken_over


def test_what_is_left_is_taken_over(tmp_path: Path) -> None:
    config = example("synthetic", tmp_path)
    order_id = 9 << ORDERS_BITS | 17
    leave(config, tmp_path / "runs", order_id=order_id)
    carried = last_carried(tmp_path / "runs" / "synthetic")
    assert carried is not None
    core = taken_over(config, carried)
    engine = core.engine
    for index, lots in HELD.items():
        for position in (engine.gate.positions[index], engine.seats[0].desk.positions[index]):
            assert (position.position_lots, position.cash_e9, position.fills) == (lots, -lots * 10**9, 1)
    assert engine.gate.exposures[0].counted.gross_e9 == 7 * engine.gate.exposures[0].lot_value_e9 != 0
    assert engine.gate.exposures[1].counted.delta_held_e9 == -3 * engine.gate.exposures[1].lot_delta_e9 != 0
    (order,) = open_orders(core)
    assert (order.client_order_id, order.price_ticks, order.qty_lots, order.side) == (order_id, 100, 4, 1)
    assert order.is_restored == 1
    assert (engine.gate.positions[0].open_orders, engine.gate.positions[0].open_sell_lots) == (1, 4)
    assert engine.gate.venues[0].open_orders == 1
    assert 17 not in [engine.orders.free_slots[place] for place in range(ORDERS_MAX - engine.orders.count)]
    assert engine.orders.counter << ORDERS_BITS == carried.reserved_id > order_id


def test_a_journal_of_a_run_that_had_not_begun_is_stepped_over(tmp_path: Path) -> None:
    config = example("synthetic", tmp_path)
    leave(config, tmp_path / "runs")
    make_run_folder(tmp_path / "runs", "synthetic", "killed before its first record")
    carried = last_carried(tmp_path / "runs" / "synthetic")
    assert carried is not None
    assert sorted(held(carried).values()) == sorted(HELD.values())


def test_a_later_run_sorts_behind_an_earlier_one_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = example("synthetic", tmp_path)
    first = leave(config, tmp_path / "runs")
    monkeypatch.setattr("time.gmtime", lambda: (1999, 1, 1, 0, 0, 0, 4, 1, 0))
    second = leave(config, tmp_path / "runs")
    assert first != second
    carried = last_carried(tmp_path / "runs" / "synthetic")
    assert carried is not None
    assert carried.folder == second
    assert (tmp_path / "runs" / "synthetic" / "latest").resolve() == second.resolve()


def test_a_damaged_journal_is_refused_by_name(tmp_path: Path) -> None:
    config = example("synthetic", tmp_path)
    segment = leave(config, tmp_path / "runs") / FOLDER / segment_name(0)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 4
    segment.write_bytes(data)
    with pytest.raises(JournalError, match=r"a record is not what was written.*positions of synthetic are not known"):
        last_carried(tmp_path / "runs" / "synthetic")


def test_what_the_configuration_has_no_place_for_is_refused_by_name(tmp_path: Path) -> None:
    config = example("synthetic", tmp_path)
    leave(config, tmp_path / "runs")
    carried = last_carried(tmp_path / "runs" / "synthetic")
    assert carried is not None
    other = example("synthetic", tmp_path, 'symbol = "BTCUSDT"', 'symbol = "ETHUSDT"')
    text = other.read_text().replace("bridge/BTCUSDT", "bridge/ETHUSDT")
    other.write_text(text)
    with pytest.raises(JournalError, match=r"-3 lots of bridge/BTCUSDT are held.*: add it"):
        taken_over(other, carried)


def test_two_runs_of_one_name_cannot_trade_at_once(tmp_path: Path) -> None:
    with hold_name(tmp_path, "mine"), pytest.raises(HostError, match="mine: another process trades under this name"):
        hold_name(tmp_path, "mine")
    hold_name(tmp_path, "mine").close()


def test_a_difference_is_changed_on_request_only(tmp_path: Path) -> None:
    config, runs = example("synthetic", tmp_path), tmp_path / "runs"
    leave(config, runs, difference=(1, -3, 12))
    found = reconcile(config, runs, accept=False)
    assert [(each.instrument, each.ours_lots, each.theirs_lots) for each in found.differences] == [
        ("bridge/BTCUSDT", -3, 12)
    ]
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert held(carried)["bridge/BTCUSDT"] == -3
    assert reconcile(config, runs, accept=True).folder is not None
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert held(carried) == {"deribit/BTC-PERPETUAL": 7, "bridge/BTCUSDT": 12}
    assert carried.differences == []
    assert reconcile(config, runs, accept=True).folder is None


class Sessions:
    """Of a run: that the bridge's is told to ask is all that matters here."""

    def __init__(self) -> None:
        self.parts = [SimpleNamespace(session=SimpleNamespace()) for _ in range(2)]


def test_a_venue_that_cannot_be_asked_needs_an_operators_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = find_adapter("starbase").order_entries
    monkeypatch.setitem(entries, "starbase", replace(entries["starbase"], resume=None))
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)
    leave(config_path, runs, order_id=9 << ORDERS_BITS)
    carried = last_carried(runs / config.name)
    assert carried is not None
    with pytest.raises(HostError, match=r"venue \S+: .*something is held or open there.*crosswire reconcile --accept"):
        resume_sessions(Sessions(), config, carried)  # type: ignore[arg-type]
    assert len(reconcile(config_path, runs, accept=False).unasked) == len(HELD) + 1
    assert reconcile(config_path, runs, accept=True).folder is not None
    carried = last_carried(runs / config.name)
    assert carried is not None
    resume_sessions(Sessions(), config, carried)  # type: ignore[arg-type]
    assert carried.orders == {}
    assert sorted(held(carried).values()) == sorted(HELD.values())


STARBASE = 0  # its number in the example
IN_FULL = {STARBASE: SimpleNamespace(tells_positions=True)}
ORDERS_ONLY = {STARBASE: SimpleNamespace(tells_positions=False)}
BRIDGE = 1
NOT_BELIEVED = {"report_kind": ReportKind.FILL, "outcome": Applied.BAD_PRICE}
AGREES = {"report_kind": ReportKind.ACCOUNT_END, "outcome": Applied.UPDATED}
NUMBERS = {"sent": 9, "received": 9}


def need(config_path: Path, runs: Path, sources: dict[int, SimpleNamespace]) -> None:
    """Start after the last run, with these sources."""
    config = load_config(config_path)
    need_comparison(config, last_carried(runs / config.name), sources)  # type: ignore[arg-type]


def reports(*each: dict[str, int], venue: int = STARBASE) -> Callable[[Journal], None]:
    """Write what the venue said, by an engine whose session has numbers."""

    def write(journal: Journal) -> None:
        write_record(journal, SessionRecord, venue=STARBASE, **NUMBERS)
        for fields in each:
            write_record(journal, ReportRecord, venue=venue, **fields)

    return write


@pytest.mark.parametrize("outcome", [each for each in Applied if is_alarm(each)])
def test_what_was_not_believed_is_compared_before_anything_is_traded(tmp_path: Path, outcome: Applied) -> None:
    """Whatever it was about: the run that heard it ended by an alarm, and the next one is not to take it as settled."""
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    folder = leave(config_path, runs, records=reports(NOT_BELIEVED | {"outcome": outcome}))
    need(config_path, runs, IN_FULL)
    for sources in ({}, ORDERS_ONLY, {BRIDGE: IN_FULL[STARBASE]}):
        with pytest.raises(HostError, match=f"venue starbase: by {folder} 1 report of the venue could not be believed"):
            need(config_path, runs, sources)
    assert reconcile(config_path, runs, accept=False).unasked == [
        "starbase: 1 report of the venue could not be believed"
    ]
    assert reconcile(config_path, runs, accept=True).folder is not None
    need(config_path, runs, {})
    assert reconcile(config_path, runs, accept=True).folder is None


def test_a_venue_that_tells_each_session_its_account_needs_no_other_source(tmp_path: Path) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    leave(config_path, runs, records=reports(NOT_BELIEVED, venue=BRIDGE))
    need(config_path, runs, {})
    assert reconcile(config_path, runs, accept=False).unasked == []


def test_a_venue_that_nobody_asks_is_doubted_with_nothing_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    leave(config_path, runs, records=reports(NOT_BELIEVED, venue=BRIDGE))
    entries = find_adapter("bridge").order_entries
    monkeypatch.setitem(entries, "bridge", replace(entries["bridge"], resume=None))
    with pytest.raises(HostError, match=r"venue bridge: .*crosswire reconcile --accept"):
        need(config_path, runs, IN_FULL)


@pytest.mark.parametrize(
    ("told", "is_settled"),
    [
        ((NOT_BELIEVED, AGREES), True),
        ((AGREES, NOT_BELIEVED), False),
        # An order that we do not know, in the very account.
        (({"report_kind": ReportKind.OPEN, "outcome": Applied.UNKNOWN_ORDER}, AGREES), False),
        (({"report_kind": ReportKind.OPEN, "outcome": Applied.UNKNOWN_ORDER}, AGREES, AGREES), True),
        (({"report_kind": ReportKind.ACCOUNT_END, "outcome": Applied.BAD_EXECUTION},), False),
    ],
)
def test_an_account_that_agrees_settles_what_was_doubted(
    tmp_path: Path, told: tuple[dict[str, int], ...], is_settled: bool
) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    leave(config_path, runs, records=reports(*told))
    with nullcontext() if is_settled else pytest.raises(HostError, match="could not be believed"):
        need(config_path, runs, {})


def test_a_doubt_outlives_runs_that_end_before_anything_was_compared(tmp_path: Path) -> None:
    """As one that is killed while it asks: a later one without a source must not begin where that one did."""
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)
    leave(config_path, runs, difference=(0, 7, 12), records=reports(NOT_BELIEVED))
    for _ in range(2):
        carried = last_carried(runs / config.name)
        assert carried is not None
        assert carried.doubts == {"starbase": 2}
        leave_opening(config_path, runs, carried)
        with pytest.raises(HostError, match=r"venue starbase: .* 2 reports of the venue could not be believed"):
            need(config_path, runs, {})


def leave_opening(config_path: Path, runs: Path, carried: Carried) -> Path:
    """Take everything over, and die before anything is sent."""
    config = load_config(config_path)
    core = taken_over(config_path, carried)
    folder = make_run_folder(runs, config.name, "")
    core.engine.venue_count = len(config.venue)
    kept = MemoryJournal(core.engine.journal, folder / FOLDER)
    write_description(kept.journal, describe_run(core, config, config_path, "live"))
    write_opening(core, config, carried)
    kept.close()
    return folder


@pytest.mark.parametrize(
    ("numbers", "is_known"), [((), False), ((0, 0, 0, 0), False), ((9, 0, 0, 0), True), ((0, 0, 0, 5), True)], ids=str
)
def test_a_session_that_would_begin_anew_over_a_position_is_refused(
    tmp_path: Path, numbers: tuple[int, ...], is_known: bool
) -> None:
    """As after a journal whose version kept no numbers: what was missed the venue tells nobody."""
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)

    def records(journal: Journal) -> None:
        if numbers:
            sent, received, sent_b, received_b = numbers
            write_record(
                journal, SessionRecord, venue=STARBASE, sent=sent, received=received, sent_b=sent_b,
                received_b=received_b,
            )  # fmt: skip

    need_comparison(config, None, {})
    folder = leave(config_path, runs, records=records)
    refused = pytest.raises(
        HostError, match=f"venue starbase: by {folder} something is held or open there, and no number"
    )
    need(config_path, runs, IN_FULL)
    with nullcontext() if is_known else refused:
        need(config_path, runs, {})
    carried = last_carried(runs / config.name)
    assert carried is not None
    carried.holdings.clear()
    need_comparison(config, carried, {})
    carried.orders[1] = CarriedOrder("starbase/any", "", {})
    with nullcontext() if is_known else refused:
        need_comparison(config, carried, {})
    assert (reconcile(config_path, runs, accept=True).folder is None) == is_known
    need(config_path, runs, {})  # an operator has compared


def test_a_difference_that_nobody_would_compare_again_is_refused(tmp_path: Path) -> None:
    """A run that ended over it had the venue's REST, and the next one has not: nothing else asks for the account."""
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)
    leave(config_path, runs, records=reports())
    need(config_path, runs, {})  # nothing differed
    carried = last_carried(runs / config.name)
    assert carried is not None
    index = next(place for place, info in enumerate(carried.description.instruments) if info.venue == "starbase")
    leave(config_path, runs, difference=(index, 7, 12), records=reports())
    with pytest.raises(
        HostError, match=r"venue starbase: .* starbase/\S+ was 7 lots by our journal and 12 by the venue"
    ):
        need(config_path, runs, {BRIDGE: IN_FULL[STARBASE]})
    need(config_path, runs, IN_FULL)
    assert reconcile(config_path, runs, accept=True).folder is not None
    need(config_path, runs, {})


ORDER, QUOTE, HELD_QUOTE, AMENDED = (counter << ORDERS_BITS | counter for counter in (9, 10, 11, 12))
TERMS = {"venue": 0, "instrument": 1, "strategy": 0, "side": 1, "time_in_force": 2, "price_ticks": 100, "qty_lots": 4}


def write_starbase_session(journal: Journal) -> None:
    """What a run writes down of an order, of quotes, of an amend and of fills, and where its session stands."""
    write_record(
        journal,
        SessionRecord,
        venue=0,
        state=SessionState.READY,
        sent=40,
        received=30,
        sent_b=7,
        received_b=6,
        quote_id=3,
    )
    write_record(journal, OrderSent, client_order_id=ORDER, link=1, sequence=8, **TERMS)
    write_record(journal, OrderSent, client_order_id=QUOTE, link=0, sequence=41, quote_id=4, is_quote=1, **TERMS)
    write_record(journal, OrderSent, client_order_id=HELD_QUOTE, link=0, sequence=41, quote_id=4, is_quote=1, **TERMS)
    write_record(journal, OrderSent, client_order_id=AMENDED, link=0, sequence=42, **TERMS)
    ack = {"venue": 0, "report_kind": ReportKind.ACK, "outcome": Applied.UPDATED, "instrument": 1}
    write_record(journal, ReportRecord, client_order_id=HELD_QUOTE, exchange_order_id=70, queued=1, **ack)
    write_record(journal, ReportRecord, client_order_id=AMENDED, exchange_order_id=71, **ack)
    fill = {"instrument": 1, "side": 1, "price_ticks": 100, "qty_lots": 1}
    for place in range(FILLS_CARRIED + 5):
        write_record(journal, FillRecord, execution_id=place + 1, match_id=500 + place, exchange_order_id=60, **fill)
    write_record(
        journal, FillRecord, client_order_id=AMENDED, execution_id=FILLS_CARRIED + 6, match_id=900,
        exchange_order_id=71, **fill,
    )  # fmt: skip
    write_record(journal, AmendSent, client_order_id=AMENDED, price_ticks=99, qty_lots=9)


def test_where_a_starbase_session_stood_is_carried_over_two_restarts(tmp_path: Path) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)
    folder = leave(config_path, runs, records=write_starbase_session)
    for _ in range(2):
        carried = last_carried(runs / config.name)
        assert carried is not None
        core = taken_over(config_path, carried)
        resumed = resumed_at("starbase", config, carried)
        assert resumed.numbers == [42, 30, 8, 6]  # a frame that may have left counts, whatever was said since
        assert (resumed.quote_id, resumed.execution_id) == (4, FILLS_CARRIED + 6)
        shown = {
            each.client_order_id: (each.link, each.sequence, each.quote_id, each.queued) for each in resumed.orders
        }
        assert shown == {ORDER: (1, 8, 0, 0), QUOTE: (0, 41, 4, 0), HELD_QUOTE: (0, 41, 4, 1), AMENDED: (0, 42, 0, 0)}
        assert [each.exchange_order_id for each in sorted(resumed.orders)] == [0, 0, 70, 71]
        assert len(resumed.fills) == FILLS_CARRIED
        assert resumed.fills[-1] == ResumedFill(FILLS_CARRIED + 6, 900, 71)
        orders = {order.client_order_id: order for order in open_orders(core)}
        amended = orders[AMENDED]
        assert (amended.amend_state, amended.amend_price_ticks, amended.amend_lots) == (AmendState.PENDING, 99, 9)
        # What may be filled at worst: 3 left of 4, or 8 of 9.
        assert core.engine.gate.positions[1].open_sell_lots == 4 + 4 + 4 + 8
        assert (orders[HELD_QUOTE].queued, core.engine.gate.positions[1].quotes_pending) == (1, 2)
        assert carried.folder == folder
        folder = leave_opening(config_path, runs, carried)  # the next one takes it over, and dies


def test_a_session_that_could_not_go_on_is_begun_anew_on_request_only(tmp_path: Path) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"
    config = load_config(config_path)

    def lost(journal: Journal) -> None:
        write_starbase_session(journal)
        write_record(journal, SessionRecord, venue=0, state=SessionState.LOST, sent=90, received=30, is_resumed=1)

    leave(config_path, runs, records=lost)
    unasked = reconcile(config_path, runs, accept=False).unasked
    assert unasked[0] == (
        "starbase: its session could not go on where the run before had stopped; what it has done since is not told"
    )
    assert len(unasked) == 1 + len(HELD) + 4
    carried = last_carried(runs / config.name)
    assert carried is not None
    assert carried.numbers["starbase"] == [90, 30, 0, 0]
    assert reconcile(config_path, runs, accept=True).folder is not None
    carried = last_carried(runs / config.name)
    assert carried is not None
    assert (carried.numbers, carried.orders) == ({}, {})


def test_a_session_that_was_lost_otherwise_asks_again_and_keeps_its_orders(tmp_path: Path) -> None:
    """Whatever is accepted elsewhere: a gateway that was away as the last run began has not forgotten anything."""
    config_path, runs = example("synthetic", tmp_path), tmp_path / "runs"

    def lost(journal: Journal) -> None:
        for state in (SessionState.LOGGING_ON, SessionState.LOST):
            write_record(journal, SessionRecord, venue=0, state=state, sent=1)

    leave(config_path, runs, order_id=9 << ORDERS_BITS, difference=(1, -3, 12), records=lost)
    assert reconcile(config_path, runs, accept=False).unasked == []
    assert reconcile(config_path, runs, accept=True).folder is not None
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert list(carried.orders) == [9 << ORDERS_BITS]
    assert carried.numbers["deribit"] == [1, 0, 0, 0]


def test_an_order_that_an_older_version_has_carried_is_read_as_it_was_written(tmp_path: Path) -> None:
    config_path, runs = example("starbase", tmp_path), tmp_path / "runs"

    def older(journal: Journal) -> None:
        words = [ORDER, 0, 1, 0, 1, 2, 100, 4, 0, 0, 0, 0, 3, 77]
        record = array(i64, len(words))
        for place, word in enumerate(words):
            record[place] = word
        copy_bytes(begin_record(journal, 8 * len(words)), address_of(record), 8 * len(words))
        commit_record(journal, RecordKind.ORDER_CARRIED, 1, 8 * len(words), 0)

    leave(config_path, runs, records=older)
    carried = last_carried(runs / load_config(config_path).name)
    assert carried is not None
    terms = carried.orders[ORDER].terms
    assert (terms["filled_lots"], terms["exchange_order_id"]) == (3, 77)
    assert (terms["sequence"], terms["queued"], terms["amend_lots"]) == (0, 0, 0)


def test_a_venue_that_has_forgotten_fills_is_believed_once_an_operator_accepts(tmp_path: Path) -> None:
    """It gives their execution ids again: those behind the last one that it told then are new."""
    config_path, runs = example("synthetic", tmp_path), tmp_path / "runs"

    def forgotten(journal: Journal) -> None:
        for execution_id in (7, 8, 9):
            write_record(journal, FillRecord, instrument=1, price_ticks=100, qty_lots=1, execution_id=execution_id)
        write_record(journal, DifferenceRecord, instrument=1, ours_lots=0, theirs_lots=2)
        write_record(
            journal, ReportRecord, venue=1, report_kind=ReportKind.ACCOUNT_END, outcome=Applied.BAD_EXECUTION,
            execution_id=2,
        )  # fmt: skip

    leave(config_path, runs, records=forgotten)
    assert reconcile(config_path, runs, accept=True).folder is not None
    carried = last_carried(runs / "synthetic")
    assert carried is not None
    assert carried.execution_ids["bridge"] == 2
    assert taken_over(config_path, carried).engine.orders.last_execution_ids[1] == 2
