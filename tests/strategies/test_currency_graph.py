"""The cycles of a graph of currencies are all that there are, each once."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.strategies.currency_graph import Cycle, Edge, begin_at_quote, make_edges, simple_cycles
from crosswire.venues.side import BUY, SELL

pairs = st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1])


def turned(cycle: Cycle) -> Cycle:
    """A cycle from its lowest currency on: what makes two that are the same equal."""
    first = min(range(len(cycle)), key=lambda place: cycle[place].source)
    return cycle[first:] + cycle[:first]


def by_brute_force(edges: list[Edge], legs_max: int) -> set[Cycle]:
    """All orders of edges of which each begins where the last one ended, and none passes anything twice."""
    return {
        turned(way)
        for count in range(2, legs_max + 1)
        for way in permutations(edges, count)
        if all(way[place - 1].target == way[place].source for place in range(count))
        and len({edge.listing for edge in way}) == len({edge.source for edge in way}) == count
    }


@given(st.lists(pairs, min_size=1, max_size=5), st.integers(2, 5))
def test_all_cycles_are_found_and_each_once(graph: list[tuple[int, int]], legs_max: int) -> None:
    edges = make_edges(graph)
    found = list(simple_cycles(edges, legs_max))
    assert len(found) == len(set(found))
    assert set(found) == by_brute_force(edges, legs_max)


@given(st.lists(pairs, min_size=2, max_size=6))
def test_a_cycle_begins_where_money_is_of_one_kind(graph: list[tuple[int, int]]) -> None:
    for cycle in simple_cycles(make_edges(graph), 5):
        begun = begin_at_quote(cycle)
        quotes = {place for place in range(len(cycle)) if (cycle[place].side, cycle[place - 1].side) == (BUY, SELL)}
        assert (begun is None) == (not quotes)
        if begun is not None:
            assert turned(begun) == cycle
            assert (begun[0].side, begun[-1].side) == (BUY, SELL)
            assert begun[0].source == min(cycle[place].source for place in quotes)


def test_a_triangle_has_two_ways_round_and_two_venues_two_more_each() -> None:
    usdt, btc, eth = range(3)
    triangle = [(btc, usdt), (eth, usdt), (eth, btc)]
    found = [[(edge.listing, edge.side) for edge in cycle] for cycle in simple_cycles(make_edges(triangle), 3)]
    assert found == [[(0, BUY), (2, BUY), (1, SELL)], [(1, BUY), (2, SELL), (0, SELL)]]
    assert len(list(simple_cycles(make_edges([*triangle, (btc, usdt)]), 3))) == 6
    assert len(list(simple_cycles(make_edges([*triangle, (btc, usdt)]), 2))) == 2
