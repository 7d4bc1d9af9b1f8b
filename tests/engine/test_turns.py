"""The turns that a journal tells: each one that took a frame or acted, in order, with its time, and no other."""

from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.ending import go_on_without_segment
from crosswire.engine.journal.decode import records_of, turns_of
from crosswire.engine.journal.description import Description
from crosswire.engine.journal.show import Namer
from crosswire.engine.records import note_turn, record_book, record_closed
from crosswire.engine.state import Engine, turn_order
from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.reader import read_memory
from crosswire.risk.gate import Gate
from crosswire.risk.records import TURNS_MAX, RecordKind
from crosswire.venues.order import VENUES_MAX

APART_NS = 1 << 40  # at most, between two turns: 18 minutes
Turn = tuple[int, int, int]  # time, venues, acted
Step = tuple[int, int, int, bool]  # after how long; venues, acted; whether it writes another record

turns = st.lists(
    st.tuples(st.integers(0, APART_NS), st.integers(0, (1 << VENUES_MAX) - 1), st.integers(0, 1), st.booleans()),
    max_size=120,
)


def engine_with_journal() -> tuple[Engine, MemoryJournal]:
    engine = Engine()
    engine.journal = make_journal()
    kept = MemoryJournal(engine.journal)
    engine.state.tells_turns = 1
    return engine, kept


def note(engine: Engine, steps: list[Step]) -> list[Turn]:
    """Turn at these times after one another; what is to be told."""
    now_ns, noted = 1 << 60, []
    for after_ns, venues, acted, writes in steps:
        now_ns += after_ns
        if writes:
            record_book(engine, 0, 1, now_ns)
        note_turn(engine, venues, acted, now_ns)
        noted.append((now_ns, venues, acted))
    return noted


def told(kept: MemoryJournal) -> list[Turn]:
    return [
        turn
        for batch in read_memory(kept).batches()
        for turn in zip(*(column.tolist() for column in turns_of(batch)), strict=True)
    ]


@given(steps=turns)
def test_every_turn_is_told_once_and_one_that_writes_more_at_once(steps: list[Step]) -> None:
    engine, kept = engine_with_journal()
    noted = note(engine, steps)
    before = told(kept)
    assert before == noted[: len(before)]
    left = steps[len(before) :]
    assert len(left) < TURNS_MAX
    assert not any(writes for _, _, _, writes in left)
    record_closed(engine, 0)
    assert told(kept) == noted


@given(steps=turns)
def test_frames_are_told_in_the_order_in_which_they_were_taken(steps: list[Step]) -> None:
    engine, kept = engine_with_journal()
    noted = note(engine, steps)
    record_closed(engine, 0)
    (batch,) = read_memory(kept).batches()
    order = turn_order([f"venue {(number + 3) % VENUES_MAX}" for number in range(VENUES_MAX)])
    assert sorted(order) == list(range(VENUES_MAX)) != order
    times_ns, venues = turns_of(batch).frames(order)
    assert list(zip(times_ns.tolist(), venues.tolist(), strict=True)) == [
        (time_ns, number) for time_ns, bits, _ in noted for number in order if bits >> number & 1
    ]


def test_a_record_is_shown_turn_by_turn() -> None:
    engine, kept = engine_with_journal()
    note(engine, [(5, 1, 0, False), (7, 2, 0, False), (1, 3, 0, False), (0, 0, 1, True)])
    (batch,) = read_memory(kept).batches()
    (record,) = records_of(batch, {RecordKind.TURNS})
    own = SimpleNamespace(strategies={}, messages={})
    names = SimpleNamespace(instruments=[], names=own, venues=["deribit", "bridge"])
    shown = Namer(cast("Description", names)).named(record.kind, record.fields)
    begun_ns = (1 << 60) + 5
    assert record.kind == RecordKind.TURNS
    assert shown == {
        "begun_ns": begun_ns,
        "turns": f"{begun_ns}:deribit {begun_ns + 7}:bridge {begun_ns + 8}:deribit+bridge {begun_ns + 8}:!",
    }


def test_a_run_that_has_no_room_left_tells_none() -> None:
    """What is left is for the answers to the last cancels."""
    engine, kept = engine_with_journal()
    engine.gate = Gate()
    go_on_without_segment(engine)
    note(engine, [(5, 1, 1, True)] * 40)
    assert told(kept) == []
