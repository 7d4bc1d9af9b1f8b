"""Lead and lag: when the leading venue has moved, take the quotes of those that have not heard of it yet.

One instrument leads, the others follow at a basis whose slow average is known. The leader has moved when its microprice
has, by `move_min_bps` within `window_us`, or when aggressors have taken `sweep_min` of one side. For `act_within_us`
after that a follower's quote is stale if its price stands, by its book's own time, from before the move began. A stale
quote is taken where the leader's price and the mean basis are better than it by the taker fees and `edge_min_bps`. What
is taken is hedged on the leader at once (`strategies.legs`), or held until the follower has caught up
(`strategies.hold`).

A leg at a venue with a speed bump is priced with its delay (`strategies.exposure`).
"""

from decimal import Decimal
from math import ceil
from typing import Annotated, Literal, Self

from crosswire.nic.duration import NS_PER_MS, NS_PER_US
from crosswire.nic.memory.struct import Array, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.limits import to_e9
from crosswire.strategies.average import add_sample, distance, weight_of
from crosswire.strategies.desk import Desk, wake_at
from crosswire.strategies.exposure import Exposure, SpeedBumpMargin, measure, premium_e9, set_exposure
from crosswire.strategies.follower import Follower, expect, see_quote, set_follower, since_ns
from crosswire.strategies.hold import (
    HoldState,
    Offer,
    Worth,
    close_hold,
    earns_e9,
    is_of_hold,
    listing_of_hold,
    look_for,
    start_hold,
    take_hold_fill,
    take_hold_order,
    tend_hold,
)
from crosswire.strategies.interface import (
    BuildContext,
    on_book,
    on_book_lost,
    on_fill,
    on_finish,
    on_order,
    on_timer,
    on_trade,
)
from crosswire.strategies.leg_parameters import BPS_MAX, LegParameters, bps_e9, fill_in_legs
from crosswire.strategies.legs import (
    LegStrategy,
    blocked_by,
    book_of,
    close_records,
    fresh_until_ns,
    instrument_of,
    lose_book,
    market_ticks,
    pair_number,
    room_e9,
    side_room_e9,
    take_fill,
    take_order,
    take_timer,
)
from crosswire.strategies.listing import LISTINGS_MAX, is_price
from crosswire.strategies.mean_basis import (
    NO_BASIS,
    basis_of,
    follow_at_rates,
    mean_e9,
    rate_of_a_e9,
    rate_of_b_e9,
)
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    Blocked,
    end_opportunity,
    follow_opportunity,
    note_blocked,
    note_peak,
    pair_of,
)
from crosswire.strategies.pairs import middle_e9, plan_and_start
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.plan import Plan
from crosswire.strategies.signals.flow import Flow, add_trade, net_lots, set_flow
from crosswire.strategies.signals.microprice import NO_PRICE, microprice_e9
from crosswire.strategies.signals.move import Track, begin_anew, forget_moves, see_price
from crosswire.venues.instrument import E9, base_e9, divide_e9, multiply_e9, text_of
from crosswire.venues.order import Order, Report
from crosswire.venues.side import BUY, SELL, sign_of

LEADER = 0  # its listing; the followers come behind it
FOLLOWERS_MAX = LISTINGS_MAX - 1
DEPTH_MAX = 1_000
WINDOW_MAX_US = 10_000_000


class LeadLagParameters(LegParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `lead_lag`, described in docs/strategies/lead-lag.md."""

    leader: Annotated[str, Parameter("", '"venue/symbol" of the instrument that moves first')]
    followers: Annotated[list[str], Parameter("", f'"venue/symbol", 1 to {FOLLOWERS_MAX} of the leader\'s underlying')]
    half_life_s: Annotated[Decimal, Parameter("s", "after which a sample counts half in the mean basis", above=0)]
    sample_us: Annotated[int, Parameter("us", "between two samples of the basis", least=1)]
    warmup_s: Annotated[Decimal, Parameter("s", "of samples, before the first trade", above=0)]
    window_us: Annotated[int, Parameter("us", "in which the leader's move happens", least=100, most=WINDOW_MAX_US)]
    move_min_bps: Annotated[
        Decimal, Parameter("bps", "of the leader's microprice that are a move", above=0, most=BPS_MAX)
    ]
    act_within_us: Annotated[
        int,
        Parameter("us", "after a move: a quote that stands longer is no longer stale", least=1, most=WINDOW_MAX_US),
    ]
    edge_min_bps: Annotated[
        Decimal, Parameter("bps", "of the bought price, beyond the taker fees of both ways", least=0, most=BPS_MAX)
    ]
    sweep_min: Annotated[
        Decimal,
        Parameter("base coin", "taken by aggressors, net of both sides: so much is a move; 0: none is", least=0),
    ] = Decimal(0)
    exit: Annotated[
        Literal["hedge", "hold"],
        Parameter("", "hedge on the leader at once, or hold until the follower has caught up"),
    ] = "hedge"
    hold_max_ms: Annotated[int, Parameter("ms", "that is held at most", least=1, most=3_600_000)] = 1_000
    depth: Annotated[int, Parameter("levels", "a side that a trade may take", least=1, most=DEPTH_MAX)] = 1
    speed_bump_margin: SpeedBumpMargin = Decimal(1)


class LeadLag(LegStrategy):
    """State of the strategy; sizes in 1e-9 of the base coin."""

    depth: i64
    holds: i64  # 1: exit = "hold"
    hold_max_ns: i64
    size_max_e9: i64
    size_min_e9: i64
    edge_min_e9: i64
    weight: i64
    sample_ns: i64
    next_sample_ns: i64
    warmup_samples: i64
    move_min_e9: i64
    sweep_min_e9: i64
    act_within_ns: i64
    direction: i64  # +1 or -1: of the move that is acted on
    begin_ns: i64  # when it began
    known_ns: i64  # when it was known
    until_ns: i64  # until when it is acted on
    seen_ns: i64  # the leader's book's own time when it was looked at last
    price_e9: i64  # the leader's, common currency, rounded down; NO_PRICE
    price_up_e9: i64  # the same, rounded up
    moves: i64
    sweeps: i64  # moves that were known by trades
    track: Track
    flow: Flow
    followers: Annotated[Array, Follower, LISTINGS_MAX]  # by listing; the leader's place is not used
    exposures: Annotated[Array, Exposure, LISTINGS_MAX]
    worth: Worth
    offer: Offer
    market: Plan  # what the books offer
    plan: Plan  # what is to be traded

    @classmethod
    def build(cls, parameters: LeadLagParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        if not 1 <= len(parameters.followers) <= FOLLOWERS_MAX:
            raise ValueError(f"followers: 1 to {FOLLOWERS_MAX} are needed, not {len(parameters.followers)}")
        if parameters.warmup_s < parameters.half_life_s:
            raise ValueError(f"warmup_s = {parameters.warmup_s} is shorter than half_life_s = {parameters.half_life_s}")
        sample_s = Decimal(parameters.sample_us) / 1_000_000
        strategy = cls(
            depth=parameters.depth,
            holds=int(parameters.exit == "hold"),
            hold_max_ns=parameters.hold_max_ms * NS_PER_MS,
            size_max_e9=to_e9(parameters.size_max, "size_max"),
            size_min_e9=to_e9(parameters.size_min, "size_min"),
            edge_min_e9=bps_e9(parameters.edge_min_bps, "edge_min_bps"),
            weight=weight_of(sample_s, parameters.half_life_s),
            sample_ns=parameters.sample_us * NS_PER_US,
            warmup_samples=ceil(parameters.warmup_s / sample_s),
            move_min_e9=bps_e9(parameters.move_min_bps, "move_min_bps"),
            sweep_min_e9=to_e9(parameters.sweep_min, "sweep_min"),
            act_within_ns=parameters.act_within_us * NS_PER_US,
        )
        names = [parameters.leader, *parameters.followers]
        fill_in_legs(strategy.legs, parameters, names, context)
        strategy.track.window_ns = parameters.window_us * NS_PER_US
        set_flow(strategy.flow, parameters.window_us * NS_PER_US)
        for listing, name in enumerate(names):
            instrument = context.instruments[context.index_of(name)]
            set_exposure(strategy.exposures[listing], instrument, parameters.speed_bump_margin)
            if listing != LEADER:
                follower = strategy.followers[listing]
                set_follower(follower, strategy.legs, listing, LEADER, strategy.edge_min_e9, name)
        return strategy

    def counters(self) -> dict[str, int]:
        """Return the leader's moves and what each follower has made of them, beside what all leg strategies count."""
        counted = super().counters() | {"leader: moves": self.moves, "leader: moves known by trades": self.sweeps}
        for listing in range(1, self.legs.count):
            follower = self.followers[listing]
            name = text_of(follower.name)
            counted[f"{name}: followed"] = follower.followed
            counted[f"{name}: was not behind"] = follower.not_behind
            counted[f"{name}: did not follow"] = follower.not_followed
        return counted

    def series(self) -> list[str]:
        """Name the lag of each follower, by its listing less one."""
        return [f"lag of {text_of(self.followers[listing].name)}, ms" for listing in range(1, self.legs.count)]


@on_book.register(LeadLag)
def look(strategy: LeadLag, desk: Desk, instrument: int) -> None:
    """See what the changed book says of the leader's price or of a follower's quote, and judge what it touches."""
    changed = strategy.legs.listing_of[instrument]
    if changed < 0:
        return
    if strategy.next_sample_ns == 0:
        _schedule(strategy, desk)
    if strategy.exposures[changed].delay_ns != 0:
        measure(strategy.exposures[changed], desk.books[instrument], desk.now_ns)
    # The leader's book may have changed in this very packet, and its own turn not have come yet.
    if changed == LEADER or book_of(strategy.legs, desk, LEADER).receive_time_ns != strategy.seen_ns:
        see_leader(strategy, desk)
        judge_all(strategy, desk)
    else:
        judge(strategy, desk, changed)


@on_trade.register(LeadLag)
def hear_trade(strategy: LeadLag, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int) -> None:
    """Add up what aggressors take of the leader: enough of one side is a move, before its book shows it."""
    is_leader = instrument == strategy.legs.listings[LEADER].instrument
    if strategy.sweep_min_e9 == 0 or not is_leader or not is_price(price_ticks):
        return
    add_trade(strategy.flow, side, qty_lots, desk.now_ns)
    net = net_lots(strategy.flow, desk.now_ns)
    leader = desk.instruments[instrument]
    if base_e9(leader, price_ticks, abs(net)) < strategy.sweep_min_e9:
        return
    if book_of(strategy.legs, desk, LEADER).receive_time_ns != strategy.seen_ns:
        see_leader(strategy, desk)
    if strategy.price_e9 == NO_PRICE:
        return
    strategy.flow.bought = 0
    strategy.flow.sold = 0
    _see_beyond(strategy, desk, BUY if net > 0 else SELL, price_ticks)
    strategy.sweeps += 1
    start_move(strategy, desk, 1 if net > 0 else -1, desk.trigger_ns, desk.trigger_ns)
    judge_all(strategy, desk)


@on_book_lost.register(LeadLag)
def forget(strategy: LeadLag, desk: Desk, instrument: int) -> None:
    """Forget what was known by a book: a leader that is not seen has not moved, and a lost quote does not stand."""
    changed = strategy.legs.listing_of[instrument]
    if changed < 0:
        return
    if changed == LEADER:
        lose_leader(strategy)
        judge_all(strategy, desk)
    else:
        judge(strategy, desk, changed)
    lose_book(strategy.legs, desk, instrument)


@on_timer.register(LeadLag)
def tick(strategy: LeadLag, desk: Desk) -> None:
    """Go on with trades and holds, end a move whose time is up, and take the samples that are due."""
    take_timer(strategy.legs, desk)
    judge_all(strategy, desk)
    if strategy.direction != 0:
        wake_at(desk, strategy.until_ns)
    if strategy.next_sample_ns == 0:
        return
    if desk.now_ns < strategy.next_sample_ns:
        wake_at(desk, strategy.next_sample_ns)
        return
    for listing in range(1, strategy.legs.count):
        # A quote that nobody has renewed for so long is no sample of anything.
        if desk.now_ns <= fresh_until_ns(strategy.legs, desk, listing, LEADER):
            basis = basis_of(strategy.legs, desk, listing, LEADER)
            if basis != NO_BASIS:
                add_sample(strategy.followers[listing].average, basis, strategy.weight)
    _schedule(strategy, desk)


@compiled
def _schedule(strategy: LeadLag, desk: Desk) -> None:
    # On a grid of the clock, so that a run's samples do not depend on when its first frame came.
    strategy.next_sample_ns = (desk.now_ns // strategy.sample_ns + 1) * strategy.sample_ns
    wake_at(desk, strategy.next_sample_ns)


@on_fill.register(LeadLag)
def filled(strategy: LeadLag, desk: Desk, order: Order, report: Report) -> None:
    """Book one execution of a leg or of a hold."""
    if is_of_hold(order):
        take_hold_fill(desk, strategy.followers[listing_of_hold(order)].hold, report)
    else:
        take_fill(strategy.legs, desk, order, report)


@on_order.register(LeadLag)
def order_changed(strategy: LeadLag, desk: Desk, order: Order) -> None:
    """Note a changed order of a leg or of a hold."""
    if is_of_hold(order):
        hold = strategy.followers[listing_of_hold(order)].hold
        take_hold_order(strategy.legs, desk, hold, order, strategy.hold_max_ns)
    else:
        take_order(strategy.legs, desk, order)


@on_finish.register(LeadLag)
def close(strategy: LeadLag, desk: Desk) -> None:
    """Write what is still open: the run ends."""
    for listing in range(1, strategy.legs.count):
        close_hold(strategy.legs, desk, strategy.followers[listing].hold)
    close_records(strategy.legs, desk)


# The leader.


@compiled
def see_leader(strategy: LeadLag, desk: Desk) -> None:
    """Take in the leader's book, and begin a move if its microprice has gone far enough."""
    leader = instrument_of(strategy.legs, desk, LEADER)
    book = desk.books[leader.index]
    strategy.seen_ns = book.receive_time_ns
    price_e9 = microprice_e9(leader, book)
    if price_e9 == NO_PRICE:
        lose_leader(strategy)
        return
    unit_e9 = strategy.legs.listings[LEADER].unit_e9
    strategy.price_e9 = multiply_e9(price_e9, unit_e9)
    # Of the microprice one unit and 1e-9 of the spread may be missing, of the rate less than one, of the product, too.
    missing_e9 = 2 + (book.ask_ticks - book.bid_ticks) * leader.tick_e9 // E9
    strategy.price_up_e9 = multiply_e9(price_e9 + missing_e9, unit_e9 + 1) + 1
    track = strategy.track
    see_price(track, strategy.price_e9, book.receive_time_ns)
    if abs(track.moved_e9) >= strategy.move_min_e9:
        start_move(strategy, desk, 1 if track.moved_e9 > 0 else -1, track.begin_ns, book.receive_time_ns)


@compiled
def lose_leader(strategy: LeadLag) -> None:
    """Forget the leader's price and its move."""
    strategy.price_e9 = NO_PRICE
    strategy.price_up_e9 = NO_PRICE
    strategy.direction = 0
    strategy.flow.bought = 0
    strategy.flow.sold = 0
    forget_moves(strategy.track)


@compiled
def _see_beyond(strategy: LeadLag, desk: Desk, side: int, price_ticks: int) -> None:
    """Move the leader's price by as much as a sweep has gone through a book that does not show it yet.

    Until the next change of that book; its own move is measured of what it shows.
    """
    leader = instrument_of(strategy.legs, desk, LEADER)
    best_ticks = market_ticks(strategy.legs, desk, LEADER, side)
    beyond_e9 = max(0, sign_of(side) * (price_ticks - best_ticks)) * sign_of(side) * leader.tick_e9
    unit_e9 = strategy.legs.listings[LEADER].unit_e9
    # The unit was rounded down, which makes a rise too small and a fall, too.
    one_e9, other_e9 = multiply_e9(beyond_e9, unit_e9), multiply_e9(beyond_e9, unit_e9 + 1)
    strategy.price_e9 = max(1, strategy.price_e9 + min(one_e9, other_e9))
    strategy.price_up_e9 = max(1, strategy.price_up_e9 + max(one_e9, other_e9) + 1)


@compiled
def start_move(strategy: LeadLag, desk: Desk, direction: int, begin_ns: int, known_ns: int) -> None:
    """Act on a move; the next one is counted from here. Both times are of frames received.

    What a packet tells by its book and by its trades is one move.
    """
    if strategy.direction != direction or strategy.known_ns != known_ns:
        strategy.moves += 1
        strategy.begin_ns = begin_ns
    strategy.direction = direction
    strategy.known_ns = known_ns
    strategy.until_ns = desk.now_ns + strategy.act_within_ns
    begin_anew(strategy.track)
    wake_at(desk, strategy.until_ns)
    for listing in range(1, strategy.legs.count):
        follower = strategy.followers[listing]
        see_quote(follower, strategy.legs, desk)
        if follower.average.samples >= strategy.warmup_samples:
            is_behind = behind_e9(strategy, desk, follower, direction) > strategy.move_min_e9 // 2
            expect(follower, direction, begin_ns, known_ns, is_behind)


# The followers.


@compiled
def behind_e9(strategy: LeadLag, desk: Desk, follower: Follower, direction: int) -> int:
    """Return by which part of the leader's price a follower has still to move; 0 if that is not known."""
    middle = middle_e9(strategy.legs, desk, follower.listing)
    if middle == 0:
        return 0
    basis_e9 = divide_e9(middle - strategy.price_e9, strategy.price_e9)
    return direction * (mean_e9(follower.average.mean) - basis_e9)


@compiled
def judge_all(strategy: LeadLag, desk: Desk) -> None:
    """Judge every follower."""
    for listing in range(1, strategy.legs.count):
        judge(strategy, desk, listing)


@compiled
def judge(strategy: LeadLag, desk: Desk, listing: int) -> None:
    """Take a follower's quote if it is stale and pays; leave what is held of it when it is time."""
    legs, follower = strategy.legs, strategy.followers[listing]
    see_quote(follower, legs, desk)
    if follower.hold.state != HoldState.FLAT:
        is_due = has_caught_up(strategy, desk, listing)
        tend_hold(legs, desk, follower.hold, listing, strategy.hold_max_ns, is_due)
    if strategy.direction != 0 and desk.now_ns >= strategy.until_ns:
        strategy.direction = 0
    direction = strategy.direction
    if direction <= 0:
        end_opportunity(legs.opportunities, desk, pair_of(listing, LEADER))
    if direction >= 0:
        end_opportunity(legs.opportunities, desk, pair_of(LEADER, listing))
    if direction == 0:
        return
    buy = listing if direction > 0 else LEADER
    sell = LEADER if direction > 0 else listing
    is_stale = since_ns(follower, direction) < strategy.begin_ns
    is_known = follower.average.samples >= strategy.warmup_samples
    has_prices = market_ticks(legs, desk, buy, BUY) != 0 and market_ticks(legs, desk, sell, SELL) != 0
    if not (is_stale and is_known and has_prices and strategy.price_e9 != NO_PRICE):
        end_opportunity(legs.opportunities, desk, pair_of(buy, sell))
    elif strategy.holds != 0:
        take_alone(strategy, desk, follower, listing, buy, sell)
    else:
        take_hedged(strategy, desk, follower, buy, sell)


@compiled
def has_caught_up(strategy: LeadLag, desk: Desk, listing: int) -> bool:
    """Tell whether the basis of what is held is back at its mean, or beyond."""
    follower = strategy.followers[listing]
    basis = basis_of(strategy.legs, desk, listing, LEADER)
    if basis == NO_BASIS:
        return False
    away = distance(follower.average, basis)
    return away >= 0 if follower.hold.held_lots > 0 else away <= 0


@compiled
def follow(strategy: LeadLag, desk: Desk, buy: int, sell: int, edge_e9: int) -> int:
    """Begin or continue the opportunity of a pair."""
    legs = strategy.legs
    return follow_opportunity(
        legs.opportunities,
        desk,
        pair_of(buy, sell),
        legs.listings[buy].instrument,
        legs.listings[sell].instrument,
        edge_e9,
        fresh_until_ns(legs, desk, buy, sell),
    )


# Taken and hedged at once.


@compiled
def rate_at_mean_e9(strategy: LeadLag, follower: Follower, buy: int, sell: int, buy_rate: int, sell_rate: int) -> int:
    """Convert a rate of the bought price to the money of the sale at the mean basis, and add what delays cost."""
    delays_e9 = premium_e9(strategy.exposures[buy]) + premium_e9(strategy.exposures[sell])
    if sell == LEADER:
        return rate_of_a_e9(follower.average.mean, buy_rate) + delays_e9
    return rate_of_b_e9(follower.average.mean, sell_rate) + delays_e9


@compiled
def take_hedged(strategy: LeadLag, desk: Desk, follower: Follower, buy: int, sell: int) -> None:
    """Trade a follower's stale quote against the leader's book, where both pay at the mean basis."""
    legs = strategy.legs
    buy_rate, sell_rate = follower.cost_rate_buy_e9, follower.cost_rate_sell_e9
    cost_rate_e9 = rate_at_mean_e9(strategy, follower, buy, sell, buy_rate, sell_rate)
    buy_rate, sell_rate = follower.hurdle_rate_buy_e9, follower.hurdle_rate_sell_e9
    hurdle_rate_e9 = rate_at_mean_e9(strategy, follower, buy, sell, buy_rate, sell_rate)
    index = follow_at_rates(legs, desk, strategy.market, buy, sell, cost_rate_e9, hurdle_rate_e9, strategy.depth)
    if index == NO_OPPORTUNITY:
        return
    blocked = _trade_hedged(strategy, desk, buy, sell, hurdle_rate_e9, index)
    if blocked != Blocked.NONE:
        note_blocked(legs.opportunities, index, blocked)


@compiled
def _trade_hedged(strategy: LeadLag, desk: Desk, buy: int, sell: int, hurdle_rate_e9: int, opportunity: int) -> int:
    """Start a trade of both legs; NONE if one was started, else why not."""
    legs = strategy.legs
    blocked = blocked_by(legs, desk, buy, sell)
    if blocked != Blocked.NONE:
        return blocked
    room = room_e9(legs, desk, buy, sell)
    least_e9 = max(1, strategy.size_min_e9)
    if room < least_e9:
        return Blocked.POSITION
    limit_e9 = min(room, strategy.size_max_e9)
    depth, direction = strategy.depth, 1 if sell == LEADER else -1
    return plan_and_start(
        legs, desk, strategy.plan, buy, sell, hurdle_rate_e9, depth, limit_e9, least_e9, direction, opportunity
    )


# Taken and held.


@inlined
def _plus_e9(value: int, rate_e9: int) -> int:
    """Compute value * (1 + rate), rounded down."""
    return value + multiply_e9(value, rate_e9)


@inlined
def _plus_up_e9(value: int, rate_e9: int) -> int:
    """Compute value * (1 + rate), rounded up."""
    return value - multiply_e9(value, -rate_e9)


@compiled
def value_alone(strategy: LeadLag, follower: Follower, listing: int, side: int) -> None:
    """Say what one unit of a follower is worth, traded back there, once it is where the leader and the mean say.

    A venue that holds takers does so twice, on the way in and on the way out.
    """
    worth, own = strategy.worth, strategy.legs.listings[listing]
    delays_e9 = 2 * premium_e9(strategy.exposures[listing])
    least_e9 = strategy.edge_min_e9 + delays_e9
    mean = mean_e9(follower.average.mean)
    worth.side = side
    if side == BUY:
        fair_e9 = _plus_e9(strategy.price_e9, mean)
        worth.value_e9 = _plus_e9(fair_e9, -own.fee_e9)
        worth.bound_e9 = worth.value_e9
        worth.rate_e9 = rate_of_unit_e9(own.fee_e9 + least_e9, own.unit_e9)
    else:
        fair_e9 = _plus_up_e9(strategy.price_up_e9, mean + 1)
        worth.value_e9 = _plus_up_e9(fair_e9, own.fee_e9)
        worth.bound_e9 = _plus_up_e9(fair_e9, own.fee_e9 + least_e9)
        worth.rate_e9 = 0


@compiled
def rate_of_unit_e9(part_e9: int, unit_e9: int) -> int:
    """Compute (1 + part) * unit for a unit that was rounded down, rounded up."""
    return _plus_up_e9(unit_e9 + 1, part_e9)


@compiled
def take_alone(strategy: LeadLag, desk: Desk, follower: Follower, listing: int, buy: int, sell: int) -> None:
    """Take a follower's stale quote, to hold it until the follower has caught up."""
    legs, worth = strategy.legs, strategy.worth
    side = BUY if buy == listing else SELL
    value_alone(strategy, follower, listing, side)
    instrument, own = instrument_of(legs, desk, listing), legs.listings[listing]
    book = desk.books[instrument.index]
    look_for(strategy.offer, worth, own, instrument, book, strategy.depth, strategy.size_max_e9)
    offer = strategy.offer
    if offer.size_e9 == 0:
        end_opportunity(legs.opportunities, desk, pair_of(buy, sell))
        return
    edge_e9 = earns_e9(worth, own, instrument, offer.best_ticks)
    index = follow(strategy, desk, buy, sell, edge_e9)
    if index == NO_OPPORTUNITY:
        return
    if edge_e9 > legs.opportunities.items[index].peak_edge_e9:
        note_peak(legs.opportunities, desk, index, edge_e9, offer.size_e9, offer.value_e9)
    blocked = _trade_alone(strategy, desk, follower, listing, buy, sell, index)
    if blocked != Blocked.NONE:
        note_blocked(legs.opportunities, index, blocked)


@compiled
def _trade_alone(
    strategy: LeadLag, desk: Desk, follower: Follower, listing: int, buy: int, sell: int, opportunity: int
) -> int:
    """Send the order that enters; NONE if it was sent, else why not."""
    legs, offer, side = strategy.legs, strategy.offer, strategy.worth.side
    blocked = blocked_by(legs, desk, buy, sell)
    if blocked != Blocked.NONE:
        return blocked
    if follower.hold.state != HoldState.FLAT:
        return Blocked.IN_FLIGHT
    instrument = instrument_of(legs, desk, listing)
    room = side_room_e9(legs, desk, listing, side, offer.best_ticks)
    least_e9 = max(1, strategy.size_min_e9)
    if room < least_e9:
        return Blocked.POSITION
    limit_e9 = min(room, strategy.size_max_e9)
    own, book = legs.listings[listing], desk.books[instrument.index]
    look_for(offer, strategy.worth, own, instrument, book, strategy.depth, limit_e9)
    if offer.lots == 0 or base_e9(instrument, offer.price_ticks, offer.lots) < least_e9:
        return Blocked.NO_SIZE
    pair = pair_number(buy, sell)
    sent = start_hold(legs, desk, follower.hold, listing, side, offer, pair, opportunity)
    return Blocked.NONE if sent else Blocked.NO_REQUEST
