"""What a live run of an example leaves to the next: a journal, without running it."""

from collections.abc import Callable
from pathlib import Path

from crosswire.engine.build.run import Core, build_core
from crosswire.engine.config import load_config
from crosswire.engine.journal.carry import ACCOUNT_NAME, Carried
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import take_over, write_opening, write_record
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal
from crosswire.nic.journal.journal import Journal
from crosswire.risk.records import DifferenceRecord, OrderSent
from tests.support.paths import ROOT

HELD = {0: 7, 1: -3}


def example(name: str, folder: Path, old: str = "", new: str = "") -> Path:
    config = folder / "run.toml"
    config.write_text((ROOT / "examples" / f"{name}.toml").read_text().replace(old, new))
    return config


def leave(
    config_path: Path,
    output: Path,
    *,
    order_id: int = 0,
    difference: tuple[int, ...] = (),
    records: Callable[[Journal], None] = lambda _journal: None,
) -> Path:
    """Leave the journal of a live run that holds HELD, and perhaps an order, a difference and other records."""
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
    records(kept.journal)
    kept.close()
    return folder


def held(carried: Carried) -> dict[str, int]:
    return {name: position.position_lots for (who, name), position in carried.holdings.items() if who == ACCOUNT_NAME}


def taken_over(config_path: Path, carried: Carried) -> Core:
    config = load_config(config_path)
    core = build_core(config, config_path)
    take_over(core, config, carried)
    return core
