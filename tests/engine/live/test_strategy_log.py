"""What strategies say in a live run comes out in order, once, and what was written over is counted."""

from pathlib import Path

from crosswire.engine.live.strategy_log import StrategyLog
from crosswire.engine.report.recorder import RecordNames
from crosswire.engine.state import Engine
from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.memory.struct import one
from crosswire.strategies.desk import LINES_KEPT, LINES_MAX, log

SECOND_NS = 1_000_000_000
NAMES = RecordNames(strategies={0: "first", 1: "second"}, messages={0: ["{} of {instrument}"], 1: ["done"]})


def test_lines_come_once_and_what_is_written_over_is_counted(tmp_path: Path) -> None:
    engine = Engine(seat_count=2)
    journal = make_journal()
    kept = MemoryJournal(journal)
    desks = [engine.seats[number].desk for number in range(2)]
    for desk in desks:
        desk.journal, desk.message_count, desk.now_ns = one(journal), 1, SECOND_NS
    said = StrategyLog(engine, NAMES, ["v/A", "v/B"])
    assert list(said.take_lines()) == []
    assert log(desks[0], 0, 12, 1)
    assert log(desks[1], 0)
    assert [(line.strategy, line.text) for line in said.take_lines()] == [("first", "12 of v/B"), ("second", "done")]
    assert list(said.take_lines()) == []
    for number in range(LINES_KEPT + 5):
        desks[0].now_ns += SECOND_NS // LINES_MAX
        assert log(desks[0], 0, number, 0)
    lines = [line.text for line in said.take_lines()]
    assert lines[0] == "5 lines more are in the journal only"
    assert lines[1:] == [f"{number} of v/A" for number in range(5, LINES_KEPT + 5)]
    kept.take()
