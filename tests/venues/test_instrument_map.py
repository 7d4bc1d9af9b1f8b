"""The table from a venue's instrument ids to market indexes, against a dictionary."""

from hypothesis import example, given
from hypothesis import strategies as st

from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.market import MAP_SLOTS, InstrumentMap, add_instrument, find_again, find_instrument

# Few, so that ids are found again and replaced; neighbours in the table among them, and what no venue should send.
IDS = st.sampled_from([0, 1, 2, 7, MAP_SLOTS, MAP_SLOTS + 1, 123_456_789, (1 << 62) + 5, -1, -2])
STEPS = st.lists(st.tuples(st.booleans(), IDS, st.integers(0, 50)), max_size=40)


@machine_code
@compiled
def _find_again(table: InstrumentMap, venue_id: int) -> int:
    return find_again(table, venue_id)


@machine_code
@compiled
def _find(table: InstrumentMap, venue_id: int) -> int:
    return find_instrument(table, venue_id)


@given(STEPS)
@example([(False, -1, 0)])
@example([(True, 7, 3), (False, 7, 0), (True, 7, 4), (False, 7, 0), (False, 8, 0), (False, 7, 0)])
def test_what_is_found_again_is_what_was_put_in(steps: list[tuple[bool, int, int]]) -> None:
    """Also after it was replaced, and after others were looked for that are not there."""
    table, expected = InstrumentMap(), dict[int, int]()
    for is_put, venue_id, index in steps:
        if is_put and venue_id != -1:
            assert add_instrument(table, venue_id, index)
            expected[venue_id] = index
        assert _find_again(table, venue_id) == expected.get(venue_id, -1) == _find(table, venue_id)
        assert find_again(table, venue_id) == expected.get(venue_id, -1)
