"""Goal: an entry is found as long as it is there, wherever its key's home lies; and neighbours' homes lie together."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Struct, array, i64
from crosswire.nic.unit.call import interpreted, machine_code
from crosswire.venues.book.hash_table import (
    RUN_BITS,
    close_gap,
    find_key,
    find_place,
    home_in_run,
    home_of,
    is_taken,
)

BITS = 5
HALF = 1 << (BITS - 1)  # a directory is never fuller
RUN = 1 << RUN_BITS
# Neighbours, keys of one step, keys with one home and any others: what an exchange may give as order ids.
keys = st.one_of(
    st.integers(0, 40),
    st.integers(-20, 20).map(lambda number: number * RUN),
    st.integers(0, 20).map(lambda number: number << 40),
    st.integers(-(1 << 63), (1 << 63) - 1),
)


class Entry(Struct):
    key: i64
    place: i64  # 0: free


@is_taken.register(Entry)
def is_entry_taken(entry: Entry) -> bool:
    return entry.place != 0


@home_of.register(Entry)
def home_of_entry(_entry: Entry, key: int, bits: int) -> int:
    return home_in_run(key, bits)


PLAIN_HOME, COMPILED_HOME = interpreted(home_in_run), machine_code(home_in_run)


def held(entries: Any) -> dict[int, int]:
    return {entry.key: entry.place for entry in entries if entry.place != 0}


@given(st.lists(st.tuples(st.booleans(), keys), max_size=80))
def test_what_is_entered_is_found_until_it_is_removed(steps: list[tuple[bool, int]]) -> None:
    entries, model = array(Entry, 1 << BITS), dict[int, int]()
    for number, (is_entered, key) in enumerate(steps, 1):
        if is_entered and (key in model or len(model) < HALF):
            entry = entries[find_place(entries, BITS, key)]
            assert (entry.place, entry.key if entry.place else key) == (model.get(key, 0), key)
            entry.key, entry.place = key, number
            model[key] = number
        elif model.pop(key, 0):
            entries[close_gap(entries, BITS, find_key(entries, BITS, key))].place = 0
        assert held(entries) == model
        assert {each: entries[find_key(entries, BITS, each)].place for each in model} == model
        assert (find_key(entries, BITS, key) < 0) == (key not in model)


@given(st.integers(-(1 << 50), 1 << 50), st.integers(RUN_BITS, 30))
def test_a_run_of_neighbours_has_homes_side_by_side(run: int, bits: int) -> None:
    homes = [PLAIN_HOME(run * RUN + place, bits) for place in range(RUN)]
    assert homes == [(homes[0] + place) % (1 << bits) for place in range(RUN)]
    assert homes == [COMPILED_HOME(run * RUN + place, bits) for place in range(RUN)]


def test_no_step_between_keys_fills_a_table_in_heaps() -> None:
    """Half full, as it is at most: a key is less than two slots from its home in the mean, whatever the step."""
    bits = 13
    for step in (1, 2, 3, 10, 16, RUN - 1, RUN, RUN + 1, 1000, 4096, 1 << 20, 1 << 33):
        entries, far = array(Entry, 1 << bits), 0
        for number in range(1 << (bits - 1)):
            key = number * step
            slot = find_place(entries, bits, key)
            entries[slot].key, entries[slot].place = key, 1
            far += (slot - home_in_run(key, bits)) % (1 << bits)
        assert far < 2 << (bits - 1), step
