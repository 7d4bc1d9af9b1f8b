"""Which instruments lead from a currency back to itself: the simple cycles of a graph, found once, before it trades.

A node is a currency; it is the same at all venues, because what is traded with is kept at each of them, not sent from
one to the other: what each instrument's position may come to bounds that. An instrument is two edges: bought, it turns
its quote currency into its base coin, sold, the other way round. A cycle passes no currency and no instrument twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crosswire.venues.side import BUY, SELL


@dataclass(frozen=True)
class Edge:
    """One instrument traded on one side."""

    listing: int  # the instrument's place in the list that the graph was made of
    side: int
    source: int  # currencies, by number
    target: int


Cycle = tuple[Edge, ...]


def make_edges(pairs: Sequence[tuple[int, int]]) -> list[Edge]:
    """Make both edges of each instrument, given as (base, quote)."""
    return [
        edge
        for listing, (base, quote) in enumerate(pairs)
        for edge in (Edge(listing, BUY, quote, base), Edge(listing, SELL, base, quote))
    ]


def simple_cycles(edges: Sequence[Edge], legs_max: int) -> Iterator[Cycle]:
    """Find all cycles of 2 to `legs_max` edges, each once, beginning at its lowest currency."""
    leaving: dict[int, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
    for start in sorted(leaving):
        yield from _continued((), start, start, leaving, legs_max)


def _continued(path: Cycle, start: int, at: int, leaving: dict[int, list[Edge]], legs_max: int) -> Iterator[Cycle]:
    """Find the cycles that begin with `path`, which has come from `start` to `at`."""
    listings = {edge.listing for edge in path}
    passed = {edge.target for edge in path}
    for edge in leaving.get(at, []):
        if edge.listing in listings:
            continue
        if edge.target == start and path:
            yield (*path, edge)
        elif edge.target > start and edge.target not in passed and len(path) + 1 < legs_max:
            yield from _continued((*path, edge), start, edge.target, leaving, legs_max)


def begin_at_quote(cycle: Cycle) -> Cycle | None:
    """Turn a cycle so that its first edge buys and its last one sells, for money of one kind: its quote currency.

    None if no currency of it is the quote of both its neighbours; of several the lowest is taken.
    """
    places = [
        place
        for place, edge in enumerate(cycle)
        if edge.side == BUY and cycle[place - 1].side == SELL  # the one before the first is the last
    ]
    if not places:
        return None
    first = min(places, key=lambda place: cycle[place].source)
    return cycle[first:] + cycle[:first]
