"""The state of a maker, and what its listings offer it now."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk
from crosswire.strategies.exposure import Exposure
from crosswire.strategies.legs import LegStrategy, book_of, instrument_of, market_ticks, side_room_e9
from crosswire.strategies.listing import LISTINGS_MAX, Listing
from crosswire.strategies.maker.hedge import Hedge, walk_book
from crosswire.strategies.maker.quote import Quote, QuoteCounts
from crosswire.strategies.plan import Plan
from crosswire.venues.side import opposite, sign_of

QUOTED = 0  # the listing that is quoted; all behind it are hedges


class Why(IntEnum):
    """Why a quote was withdrawn. Index into `Maker.withdrawn`."""

    KEPT = 0
    BOOK = 1  # a book is lost, or older than book_age_max_ms
    ROOM = 2  # a leg would be beyond position_max, or the hedges offer less than the quote's size
    EDGE = 3  # a fill would not leave edge_keep_bps
    STOPPED = 4  # a hedge is being repaired, or an order has no answer
    AMEND = 5  # an amend of it was refused


class Rates(Struct):
    """What a bought price is multiplied with: fee, common currency and edge, rounded up."""

    least_e9: i64  # with edge_min_bps
    keep_e9: i64  # with edge_keep_bps


class Aim(Struct):
    """Where a quote of one side should stand."""

    lots: i64  # 0: nowhere
    price_ticks: i64
    limit_e9: i64  # price up to which it earns enough, 1e-9 of the quoted instrument's quote currency
    listing: i64  # where it would be hedged
    hedge_ticks: i64


class Maker(LegStrategy):
    """State of a strategy that quotes one listing and hedges at others; sizes in 1e-9 of the base coin.

    What has two places is by side.
    """

    depth: i64
    size_max_e9: i64
    size_min_e9: i64
    requote_ns: i64
    requote_ticks: i64
    answer_max_ns: i64
    maker: Listing  # the quoted instrument with its maker fee
    rates: Annotated[Array, Rates, LISTINGS_MAX]  # of the quoted one with the maker fee
    exposures: Annotated[Array, Exposure, LISTINGS_MAX]
    quotes: Annotated[Array, Quote, 2]
    aims: Annotated[Array, Aim, 2]
    counts: QuoteCounts
    withdrawn: Annotated[Array, i64, len(Why)]
    fills: i64
    hedged: i64  # of them, with an order of its own in the same turn
    carried: i64  # of them, less than a hedge's lot
    hedge: Hedge  # what was walked last
    best_hedge: Hedge  # the best of several
    plan: Plan  # of the trade that a fill starts


@compiled
def is_fresh(strategy: Maker, desk: Desk, listing: int) -> bool:
    """Tell whether a book is proven and young enough to quote on."""
    book = book_of(strategy.legs, desk, listing)
    return book.valid != 0 and desk.now_ns <= book.receive_time_ns + strategy.legs.book_age_max_ns


@compiled
def hedge_room_e9(strategy: Maker, desk: Desk, side: int, listing: int) -> int:
    """Return how much of a quote's fill may be hedged at a listing below `position_max`; its book has a price."""
    legs, hedge_side = strategy.legs, opposite(side)
    return side_room_e9(legs, desk, listing, hedge_side, market_ticks(legs, desk, listing, hedge_side))


@compiled
def walk_hedge(strategy: Maker, desk: Desk, hedge: Hedge, listing: int, side: int, size_e9: int) -> None:
    """Walk a listing's book for an order of `side`, at its taker fee."""
    legs = strategy.legs
    instrument = instrument_of(legs, desk, listing)
    book, cost_rate_e9 = desk.books[instrument.index], legs.listings[listing].cost_rate_e9
    walk_book(hedge, listing, legs.listings[listing], instrument, book, side, cost_rate_e9, strategy.depth, size_e9)


@compiled
def fundable_e9(strategy: Maker, desk: Desk, side: int, listing: int) -> int:
    """Return how large a quote's fill may be whose hedge, with what is carried, a listing has room for."""
    return hedge_room_e9(strategy, desk, side, listing) - max(0, sign_of(side) * strategy.legs.carry_e9)
