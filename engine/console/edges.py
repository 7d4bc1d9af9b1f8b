"""The edge between two books: what buying one and selling the other brings for one unit of base, after taker fees.

As the built-in strategies reckon it, with the quote currencies taken for equal: a strategy's own adjustment between
them is its parameter and not known here.
"""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from crosswire.engine.console.window import Window
from crosswire.strategies.listing import Listing, cost_e9, is_price, sale_e9, set_listing
from crosswire.venues.instrument import E9, Instrument, price_e9

BUCKETS_MAX = 900  # points of a chart: about one for each pixel of a wide one


class Edge(NamedTuple):
    """One direction at one moment."""

    edge_e9: int  # quote currency for one unit of base
    bps: float  # of the price that is bought at


def edge_of(instruments: list[Instrument], buy: int, sell: int, bought: Any, sold: Any) -> Edge | None:
    """Compute the edge between two `TapeBook`s; None: one is not proven or has no price."""
    if bought is None or sold is None or not bought["valid"] or not sold["valid"]:
        return None
    if not bought["asks"] or not sold["bids"]:
        return None
    ask_ticks, bid_ticks = int(bought["ask_ticks"][0]), int(sold["bid_ticks"][0])
    if not is_price(ask_ticks) or not is_price(bid_ticks):
        return None
    listings = [listing_of(instruments[each]) for each in (buy, sell)]
    edge_e9 = sale_e9(listings[1], instruments[sell], bid_ticks) - cost_e9(listings[0], instruments[buy], ask_ticks)
    return Edge(edge_e9, edge_e9 * 1e4 / price_e9(instruments[buy], ask_ticks))


def listing_of(instrument: Instrument) -> Listing:
    """Make the listing that a strategy without adjustments has of an instrument."""
    listing = Listing()
    set_listing(listing, instrument, Decimal(0), 0)
    return listing


def edge_series(
    window: Window, instruments: list[Instrument], pair: list[int], from_ns: int, to_ns: int
) -> dict[str, Any]:
    """Give both edges between two times in bps, BUCKETS_MAX points at most, each the highest of its part of time."""
    times_s: list[float] = []
    columns: list[list[float | None]] = [[], []]
    if len(pair) == 2 and pair[0] != pair[1]:
        books = [window.tops_of(each) for each in pair]
        rows = np.unique(np.concatenate([each["row"] for each in books]))
        if len(rows):
            first = int(max(each["row"][0] if len(each["row"]) else rows[-1] + 1 for each in books))
            rows = rows[rows >= first]
        times = window.turns["time_ns"][rows - window.first]
        chosen = (times >= from_ns) & (times <= to_ns)
        rows, times = rows[chosen], times[chosen]
        if len(rows):
            sides = [_at(each, rows) for each in books]
            width = max(1, -(-(to_ns - from_ns + 1) // BUCKETS_MAX))
            starts = np.flatnonzero(np.diff((times - from_ns) // width, prepend=-1))
            times_s = (times[starts] / 1e9).tolist()
            for place, (buy, sell) in enumerate(((0, 1), (1, 0))):
                bps = _bps(instruments[pair[buy]], instruments[pair[sell]], sides[buy], sides[sell])
                highest = np.fmax.reduceat(bps, starts)
                columns[place] = [None if np.isnan(each) else round(float(each), 4) for each in highest]
    return {"times_s": times_s, "bps": columns}


def _at(tops: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Take what stood at each row."""
    places = np.searchsorted(tops["row"], rows, "right") - 1
    return {name: each[places] for name, each in tops.items()}


def _bps(buy: Instrument, sell: Instrument, bought: dict[str, np.ndarray], sold: dict[str, np.ndarray]) -> np.ndarray:
    """The edge of each row as `edge_of`, as floats; NaN where there is none."""
    ask = bought["ask_ticks"] * float(buy.tick_e9)
    bid = sold["bid_ticks"] * float(sell.tick_e9)
    is_there = (bought["valid"] != 0) & (sold["valid"] != 0) & (bought["asks"] > 0) & (sold["bids"] > 0)
    found = np.full(len(ask), np.nan)
    edge = bid * (1 - sell.taker_fee_e9 / E9) - ask * (1 + buy.taker_fee_e9 / E9)
    np.divide(edge * 1e4, ask, out=found, where=is_there & (ask > 0))
    return found
