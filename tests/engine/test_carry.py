"""What a run leaves to the next: read back exactly, and refused by name where it can't be taken over."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from crosswire.engine.build.run import Core, build_core
from crosswire.engine.config import load_config
from crosswire.engine.journal.carry import ACCOUNT_NAME, Carried, last_carried
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import open_orders, take_over, write_opening, write_record
from crosswire.engine.journal.reconcile import reconcile
from crosswire.engine.live.live import resume_sessions
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import hold_name, make_run_folder
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import FOLDER, MemoryJournal, segment_name
from crosswire.nic.journal.reader import JournalError
from crosswire.risk.records import DifferenceRecord, OrderSent
from crosswire.venues.order import ORDERS_BITS, ORDERS_MAX
from tests.support.paths import ROOT

HELD = {0: 7, 1: -3}


def example(name: str, folder: Path, old: str = "", new: str = "") -> Path:
    config = folder / "run.toml"
    config.write_text((ROOT / "examples" / f"{name}.toml").read_text().replace(old, new))
    return config


def leave(config_path: Path, output: Path, *, order_id: int = 0, difference: tuple[int, ...] = ()) -> Path:
    """Leave the journal of a live run that holds HELD, and perhaps an order and a difference."""
    config = load_config(config_path)
    core = build_core(config, config_path)
    core.engine.venue_count = len(config.venue)
    core.engine.orders.counter = 5
    for index, lots in HELD.items():
        for positions in (core.engine.gate.positions, core.engine.seats[0].desk.positions):
            positions[index].position_lots, positions[index].fills, positions[index].cash_e9 = lots, 1, -lots * 10**9
    folder = make_run_folder(output, config.name, config_path.read_text())
    kept = MemoryJournal(core.engine.journal, folder / FOLDER)
    write_description(kept.journal, describe_run(core, config, config_path, "live"))
    write_opening(core, config, None)
    if order_id:
        terms = {"price_ticks": 100, "qty_lots": 4, "side": 1, "time_in_force": 2}
        write_record(kept.journal, OrderSent, client_order_id=order_id, **terms)
    if difference:
        index, ours, theirs = difference
        write_record(kept.journal, DifferenceRecord, instrument=index, ours_lots=ours, theirs_lots=theirs)
    kept.close()
    return folder


def held(carried: Carried) -> dict[str, int]:
    return {name: position.position_lots for (who, name), position in carried.holdings.items() if who == ACCOUNT_NAME}


def taken_over(config_path: Path, carried: Carried) -> Core:
    config = load_config(config_path)
    core = build_core(config, config_path)
    take_over(core, config, carried)
    return core


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
    assert engine.gate.exposures[0].counted.gross_e9 >= 0
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


def test_a_venue_that_cannot_be_asked_needs_an_operators_word(tmp_path: Path) -> None:
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
