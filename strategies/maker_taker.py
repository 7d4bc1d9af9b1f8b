"""Maker-taker: quote on one venue, hedge each fill at once as a taker on another.

At most one post-only bid and one post-only ask rest at the quoted instrument, each at the best price at which a fill,
hedged in the same turn at what the hedge books offer within `depth`, still earns `edge_min_bps` after all fees. While a
quote's hedge no longer leaves `edge_keep_bps` it is cancelled in that turn; it is moved for a better price alone, by
`requote_ticks` and more, so that its place in the queue is given up for something (`strategies.maker.quote`).

A fill becomes a trade of `strategies.legs` whose maker leg is done: what its hedge misses is retried, hedged elsewhere,
traded back where it was quoted, and in the end an alarm. While anything of that is going on nothing is quoted.

A hedge at a venue with a speed bump is priced with its delay, as `cross_spread` does (`strategies.exposure`).
"""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Annotated, Self

from crosswire.nic.duration import NS_PER_MS, NS_PER_US
from crosswire.nic.unit.compile import compiled
from crosswire.risk.limits import DURATION_MAX_MS, to_e9
from crosswire.strategies.desk import Desk, wake_at
from crosswire.strategies.exposure import measure
from crosswire.strategies.interface import (
    BuildContext,
    on_book,
    on_book_lost,
    on_fill,
    on_order,
    on_timer,
    on_trade,
)
from crosswire.strategies.leg_parameters import BPS_MAX, TICKS_MAX, LegParameters, fill_in_legs
from crosswire.strategies.legs import (
    NO_LISTING,
    blocked_by,
    book_of,
    instrument_of,
    lose_book,
    side_room_e9,
    take_fill,
    take_order,
    take_timer,
)
from crosswire.strategies.listing import LISTINGS_MAX, fraction_of_bps, unit_of
from crosswire.strategies.maker.aim import aim_at, limit_price_e9
from crosswire.strategies.maker.fills import hedge_fill
from crosswire.strategies.maker.quote import (
    QUOTE_TAG,
    Quote,
    QuoteState,
    boldest_ticks,
    hear_quote,
    is_movable,
    leaves_lots,
    move_quote,
    note_overdue,
    place_quote,
    record_ahead,
    see_level,
    see_trade,
    withdraw_quote,
)
from crosswire.strategies.maker.state import QUOTED, Maker, Why, fundable_e9, is_fresh
from crosswire.strategies.opportunity import TRADES_MAX, Blocked, note_blocked, open_opportunity, pair_of
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.trades import TradeState
from crosswire.venues.instrument import E9, base_e9, price_e9
from crosswire.venues.order import Order, Report
from crosswire.venues.side import BUY, opposite, sign_of

DEPTH_MAX = 1_000
MARGIN_MAX = 10
# Of the places for trades: fills that come while quotes are being cancelled find the others.
IN_FLIGHT_MAX = TRADES_MAX // 2


class MakerTakerParameters(LegParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `maker_taker`, described in docs/strategies/maker-taker.md."""

    quoted: Annotated[str, Parameter("", '"venue/symbol" that is quoted')]
    hedges: Annotated[
        list[str], Parameter("", f'"venue/symbol", 1 to {LISTINGS_MAX - 1} of the same underlying, to hedge at')
    ]
    edge_min_bps: Annotated[
        Decimal,
        Parameter("bps", "least edge after all fees at which a quote is placed", least=-BPS_MAX, most=BPS_MAX),
    ]
    edge_keep_bps: Annotated[
        Decimal,
        Parameter(
            "bps",
            "least edge with which it may stay, at most edge_min_bps: below it is cancelled",
            least=-BPS_MAX,
            most=BPS_MAX,
        ),
    ]
    requote_us: Annotated[
        int,
        Parameter(
            "us",
            "between two prices of one side",
            least=0,
            most=DURATION_MAX_MS * 1_000,
            field="requote_ns",
            step=Decimal("1e-3"),
        ),
    ]
    requote_ticks: Annotated[
        int,
        Parameter(
            "ticks",
            "that a price must be better for a place in the queue to be given up",
            least=1,
            most=TICKS_MAX,
            field="requote_ticks",
        ),
    ] = 1
    depth: Annotated[int, Parameter("levels", "that a hedge may take", least=1, most=DEPTH_MAX)] = 1
    speed_bump_margin: Annotated[
        Decimal,
        Parameter(
            "mean moves", "of the price in one delay that a hedge held so long must earn", least=0, most=MARGIN_MAX
        ),
    ] = Decimal(1)
    answer_max_ms: Annotated[
        int,
        Parameter(
            "ms",
            "for the venue's answer to what was asked of a quote: longer, and nothing is quoted until it comes",
            least=1,
            most=DURATION_MAX_MS,
            field="answer_max_ns",
            step=Decimal("1e-6"),
        ),
    ] = 1_000
    open_trades_max: Annotated[
        int, Parameter("trades", "of one pair of instruments, beyond which no quote is placed", least=1)
    ] = 8


class MakerTaker(Maker):
    """A maker that is built from its parameters."""

    @classmethod
    def build(cls, parameters: MakerTakerParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        least, keep = parameters.edge_min_bps, parameters.edge_keep_bps
        if keep > least:
            raise ValueError(f"edge_keep_bps = {keep} is above edge_min_bps = {least}")
        strategy = cls(
            depth=parameters.depth,
            size_max_e9=to_e9(parameters.size_max, "size_max"),
            size_min_e9=to_e9(parameters.size_min, "size_min"),
            requote_ns=parameters.requote_us * NS_PER_US,
            requote_ticks=parameters.requote_ticks,
            answer_max_ns=parameters.answer_max_ms * NS_PER_MS,
        )
        names = [parameters.quoted, *parameters.hedges]
        fill_in_legs(strategy.legs, parameters, names, context)
        strategy.legs.may_hedge = 1
        margin_e9 = to_e9(parameters.speed_bump_margin, "speed_bump_margin")
        for listing, name in enumerate(names):
            instrument = context.instruments[context.index_of(name)]
            unit = unit_of(parameters.quote_adjustment_bps.get(name, Decimal(0)))
            fee = Fraction(instrument.maker_fee_e9 if listing == QUOTED else instrument.taker_fee_e9, E9)
            strategy.rates[listing].least_e9 = ceil((1 + fee + fraction_of_bps(least)) * unit * E9)
            strategy.rates[listing].keep_e9 = ceil((1 + fee + fraction_of_bps(keep)) * unit * E9)
            if listing == QUOTED:
                strategy.maker.instrument = instrument.index
                strategy.maker.unit_e9 = strategy.legs.listings[QUOTED].unit_e9
                strategy.maker.sale_rate_e9 = floor((1 - fee) * unit * E9)
                strategy.maker.cost_rate_e9 = ceil((1 + fee) * unit * E9)
            else:
                strategy.exposures[listing].delay_ns = instrument.speed_bump_ns
                strategy.exposures[listing].margin_e9 = margin_e9
        return strategy

    def counters(self) -> dict[str, int]:
        """Tell what became of quotes and fills, beside what all trades of two legs tell."""
        counts, withdrawn = self.counts, self.withdrawn
        told = {
            "quotes placed": counts.placed,
            "quotes amended": counts.amended,
            "quotes cancelled, edge gone": withdrawn[Why.EDGE],
            "quotes cancelled, book lost or old": withdrawn[Why.BOOK],
            "quotes cancelled, no room or no depth": withdrawn[Why.ROOM],
            "quotes cancelled, hedge under repair or no answer": withdrawn[Why.STOPPED],
            "quotes cancelled, amend refused": withdrawn[Why.AMEND],
            "quotes refused, would have taken": counts.would_take,
            "quotes refused otherwise or taken away": counts.refused,
            "amends of quotes refused": counts.amends_refused,
            "cancels of quotes refused": counts.cancels_refused,
            "quotes without an answer in time": counts.overdue,
            "fills of quotes": self.fills,
            "fills of quotes hedged in the same turn": self.hedged,
            "fills of quotes too small to hedge, carried": self.carried,
        }
        return super().counters() | {f"strategy: {name}": int(count) for name, count in told.items()}

    def series(self) -> list[str]:
        """Name the estimate of each side's queue; numbers are those of the sides."""
        return ["queue ahead of the bid, lots", "queue ahead of the ask, lots"]


# What becomes of quotes.


@compiled
def why_not_kept(strategy: MakerTaker, desk: Desk, side: int) -> int:
    """Tell why a quote that rests may not stay (`Why`); KEPT: a fill of the rest of it, hedged now, is worth it."""
    legs, quote = strategy.legs, strategy.quotes[side]
    if quote.is_unwanted != 0:
        return Why.AMEND
    if not is_fresh(strategy, desk, QUOTED):
        return Why.BOOK
    quoted = instrument_of(legs, desk, QUOTED)
    price_ticks = boldest_ticks(quote, side)
    if side_room_e9(legs, desk, QUOTED, side, price_ticks) < 0:
        return Why.ROOM
    size_e9 = base_e9(quoted, price_ticks, leaves_lots(quote))
    price = price_e9(quoted, price_ticks)
    why: int = Why.BOOK
    for listing in range(1, legs.count):
        if not is_fresh(strategy, desk, listing):
            continue
        limit_e9 = limit_price_e9(strategy, desk, side, listing, size_e9, True)
        if limit_e9 == 0 or strategy.hedge.size_e9 < size_e9 or fundable_e9(strategy, desk, side, listing) < size_e9:
            if why == Why.BOOK:
                why = Why.ROOM
        elif price <= limit_e9 if side == BUY else price >= limit_e9:
            note_hedge(strategy, desk, quote, listing, strategy.hedge.price_ticks)
            return Why.KEPT
        else:
            why = Why.EDGE
    return why


@compiled
def note_hedge(strategy: MakerTaker, desk: Desk, quote: Quote, listing: int, hedge_ticks: int) -> None:
    """Note where a quote would be hedged, and for how long that holds if no more is heard of either book."""
    legs = strategy.legs
    quoted_ns, hedge_ns = book_of(legs, desk, QUOTED).receive_time_ns, book_of(legs, desk, listing).receive_time_ns
    quote.listing = listing
    quote.hedge_ticks = hedge_ticks
    quote.fresh_until_ns = min(quoted_ns, hedge_ns) + legs.book_age_max_ns


@compiled
def is_stopped(strategy: MakerTaker, desk: Desk) -> bool:
    """Tell whether nothing may be quoted: a hedge is under repair, an order unanswered, too many trades in flight."""
    is_overdue = False
    for side in range(2):
        if note_overdue(strategy.quotes[side], strategy.counts, desk.now_ns, strategy.answer_max_ns):
            is_overdue = True
    in_flight = 0
    for place in range(TRADES_MAX):
        state = strategy.legs.trades[place].state
        if state > TradeState.WORKING:
            return True
        in_flight += state
    return is_overdue or in_flight >= IN_FLIGHT_MAX


@compiled
def tend_quotes(strategy: MakerTaker, desk: Desk) -> None:
    """Cancel what may not stay, move what can be moved to a better price, place what is missing; set the timer."""
    stopped = is_stopped(strategy, desk)
    for side in range(2):
        quote = strategy.quotes[side]
        if is_movable(quote):
            why: int = Why.STOPPED
            if not stopped:
                why = why_not_kept(strategy, desk, side)
            if why != Why.KEPT and withdraw_quote(quote, desk):
                strategy.withdrawn[why] += 1
        want_e9 = strategy.size_max_e9
        if quote.state != QuoteState.NONE:
            instrument = instrument_of(strategy.legs, desk, QUOTED)
            want_e9 = base_e9(instrument, quote.price_ticks, leaves_lots(quote))
        aim_at(strategy, desk, side, want_e9)
        if not stopped and desk.now_ns >= quote.due_ns:
            place_or_move(strategy, desk, side)
        set_timer(strategy, desk, side)


@compiled
def place_or_move(strategy: MakerTaker, desk: Desk, side: int) -> None:
    """Place a quote where it is aimed at, or move the one that rests if that price is better by enough."""
    legs, quote, aim = strategy.legs, strategy.quotes[side], strategy.aims[side]
    if aim.lots == 0:
        return
    instrument = instrument_of(legs, desk, QUOTED)
    book = desk.books[instrument.index]
    if quote.state == QuoteState.RESTING:
        if (aim.price_ticks - quote.price_ticks) * sign_of(side) >= strategy.requote_ticks:
            move_quote(quote, strategy.counts, desk, book, side, aim.price_ticks)
            quote.due_ns = desk.now_ns + strategy.requote_ns
    elif quote.state == QuoteState.NONE and not meets_own(strategy, side, aim.price_ticks):
        bought = QUOTED if side == BUY else aim.listing
        sold = aim.listing if side == BUY else QUOTED
        blocked = blocked_by(legs, desk, bought, sold)
        if blocked != Blocked.NONE:
            note_blocked(legs.opportunities, open_opportunity(legs.opportunities, pair_of(bought, sold)), blocked)
        elif place_quote(quote, strategy.counts, desk, book, instrument.index, side, aim.price_ticks, aim.lots):
            note_hedge(strategy, desk, quote, aim.listing, aim.hedge_ticks)
            quote.due_ns = desk.now_ns + strategy.requote_ns


@compiled
def meets_own(strategy: MakerTaker, side: int, price_ticks: int) -> bool:
    """Tell whether a price would trade with our own quote of the other side, as it may with a negative edge."""
    other = strategy.quotes[opposite(side)]
    if other.state == QuoteState.NONE:
        return False
    return (price_ticks - boldest_ticks(other, opposite(side))) * sign_of(side) >= 0


@compiled
def set_timer(strategy: MakerTaker, desk: Desk, side: int) -> None:
    """Ask to be woken when a side may have a new price, its books have become old, or its answer is overdue."""
    quote = strategy.quotes[side]
    if desk.now_ns < quote.due_ns:
        wake_at(desk, quote.due_ns)
    if is_movable(quote):
        wake_at(desk, quote.fresh_until_ns + 1)
    if quote.state > QuoteState.NONE and quote.state != QuoteState.RESTING and quote.is_overdue == 0:
        wake_at(desk, quote.asked_ns + strategy.answer_max_ns)


# What is heard.


@on_book.register(MakerTaker)
def look(strategy: MakerTaker, desk: Desk, instrument: int) -> None:
    """Hold the quotes against a changed book."""
    listing = strategy.legs.listing_of[instrument]
    if listing == NO_LISTING:
        return
    book = desk.books[instrument]
    if listing == QUOTED:
        for side in range(2):
            see_level(strategy.quotes[side], book, side)
            record_ahead(strategy.quotes[side], desk, side)
    elif strategy.exposures[listing].delay_ns != 0:
        measure(strategy.exposures[listing], book, desk.now_ns)
    tend_quotes(strategy, desk)


@on_book_lost.register(MakerTaker)
def forget(strategy: MakerTaker, desk: Desk, instrument: int) -> None:
    """Withdraw what rests on a book that is no longer proven."""
    if strategy.legs.listing_of[instrument] != NO_LISTING:
        lose_book(strategy.legs, desk, instrument)
        tend_quotes(strategy, desk)


@on_trade.register(MakerTaker)
def hear_trade(strategy: MakerTaker, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int) -> None:
    """Note what has traded before us: aggressors who sell trade with bids."""
    if strategy.legs.listing_of[instrument] == QUOTED:
        quote = strategy.quotes[opposite(side)]
        see_trade(quote, opposite(side), price_ticks, qty_lots)
        record_ahead(quote, desk, opposite(side))


@on_fill.register(MakerTaker)
def hear_fill(strategy: MakerTaker, desk: Desk, order: Order, report: Report) -> None:
    """Hedge a fill of a quote in this turn; a hedge's own is booked."""
    if order.tag & QUOTE_TAG == 0:
        take_fill(strategy.legs, desk, order, report)
        return
    quote = strategy.quotes[report.side]
    if quote.trade_id == order.trade_id:
        quote.filled_lots = order.filled_lots
        quote.ahead_lots = 0
    hedge_fill(strategy, desk, order, report)
    tend_quotes(strategy, desk)


@on_order.register(MakerTaker)
def hear_order(strategy: MakerTaker, desk: Desk, order: Order) -> None:
    """Take what became of a quote or a hedge."""
    if order.tag & QUOTE_TAG == 0:
        take_order(strategy.legs, desk, order)
    else:
        hear_quote(strategy.quotes[order.side], strategy.counts, desk, order)
    tend_quotes(strategy, desk)


@on_timer.register(MakerTaker)
def hear_timer(strategy: MakerTaker, desk: Desk) -> None:
    """Go on with repairs, and hold the quotes against the time."""
    take_timer(strategy.legs, desk)
    tend_quotes(strategy, desk)
