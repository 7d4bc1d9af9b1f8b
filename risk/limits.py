"""Limits as they are configured, and the proof that nothing they allow can overflow.

Every limit is required: a missing one is an error, never a default. Sizes are in the instrument's size currency (base
coin for spot and linear contracts, quote currency for inverse ones), money in its quote currency.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import array, i64
from crosswire.risk.activity import EXECUTIONS_MAX, Executions
from crosswire.risk.exposure import Exposure, set_lot_values
from crosswire.risk.gate import NO_LIMIT, PEERS_MAX, Gate, InstrumentLimits, Profit, UnderlyingLimits
from crosswire.risk.position import Position
from crosswire.risk.prices import Top
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, text_of
from crosswire.venues.market import Market, copy_instruments
from crosswire.venues.order import ORDERS_MAX
from crosswire.venues.token_bucket import set_token_bucket

SUM_MAX = 1 << 62  # of all instruments together: a sum and one product more still fit 63 bits
DURATION_MAX_MS = 86_400_000
DEAD_MAN_MIN_MS = 2_000  # who watches looks about every half second
MESSAGES_MAX = 1_000_000_000
DOLLARS = ("USD", "USDT", "USDC", "FDUSD", "DAI")
COMPARED_KINDS = (Kind.SPOT, Kind.PERPETUAL)  # a future stands apart by its basis
PROVEN_BITS = 60  # every product stays below 2**60: eight of them may be summed before 63 bits are full


class LimitError(ValueError):
    """Limits that contradict each other or the instrument; one line that says which and why."""


class InstrumentLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits of one instrument."""

    order_max: Decimal  # of one order, in the instrument's size currency
    order_notional_max: Decimal  # of one order, in the quote currency
    position_max: Decimal  # size currency, long or short, open orders counted as filled
    price_max: Decimal  # a book or an order beyond it is refused
    price_collar_bps: Decimal  # how far beyond the opposite best price an order may be
    book_age_max_ms: int  # nothing is sent on an older book
    mark_age_max_ms: int  # of what is held: an older mark makes it reduce-only
    borrow_max: Decimal | None = None  # of spot, what may be sold short; None: nothing


class OrderToTradeConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How many messages a venue may be sent for each fill that comes of them."""

    messages_per_fill_max: int  # over one to two windows
    messages_min: int  # messages in a window up to which nothing is refused
    window_ms: int  # how long a window is


class VenueLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits of one venue."""

    orders_per_second: int  # new orders, amends, sides of a quote
    burst: int  # that may go out at once
    open_orders_max: int  # at the venue at one time
    notional_max: Decimal  # gross, at the venue, quote currency
    order_to_trade: OrderToTradeConfig | None = None


class LegRiskConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How much of an underlying may be held without its opposite, in base coin, and for how long."""

    unhedged_max: Decimal  # that may never be exceeded
    hedged_within: Decimal  # that may be exceeded for a while only
    unhedged_ms_max: int  # how long that while is


class UnderlyingLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits over all instruments of one underlying."""

    gross_max: Decimal  # quote currency, long and short added
    net_max: Decimal  # quote currency, long less short
    delta_max: Decimal  # base coin
    price_band_bps: Decimal | None = None  # how far a book may stand apart from other venues' to be traded on
    leg_risk: LegRiskConfig | None = None


class AccountLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits over all instruments of all venues, in quote currencies taken as one."""

    gross_max: Decimal  # long and short added
    net_max: Decimal  # long less short
    orders_per_second: int  # new orders, amends, sides of a quote, of all venues
    burst: int  # that may go out at once


class RepeatedExecutionConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How many fills of one strategy, instrument and side there may be within a window."""

    fills_max: int  # more of them in a window are refused
    window_ms: int  # how long a window is


class StrategyLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits of one strategy's own positions."""

    notional_max: Decimal  # gross, quote currency
    loss_max: Decimal  # quote currency, after fees; beyond it the strategy may only reduce


class RunLimitsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits of the whole run."""

    loss_max: Decimal  # after fees, marked: beyond it all may only reduce
    realised_loss_max: Decimal | None = None  # of that, what is realised
    self_trade_prevention: bool  # no order may meet one of our own
    dead_man_ms: int | None = None  # without a sign of life of the process: only cancels then; 2,000 or more
    account: AccountLimitsConfig
    repeated_execution: RepeatedExecutionConfig | None = None
    underlying: dict[str, UnderlyingLimitsConfig]


def to_e9(value: Decimal, what: str) -> int:
    """Convert to units of 1e-9; LimitError if `value` has more than nine decimals."""
    scaled = value * E9
    if scaled != scaled.to_integral_value():
        raise LimitError(f"{what} = {value} has more than nine decimals")
    return int(scaled)


def make_gate(market: Market, run: RunLimitsConfig, underlyings: list[str]) -> Gate:
    """Make a gate over `market` with positions all flat; the per-instrument and per-venue limits are set next."""
    gate = Gate(loss_max_e9=_positive_e9(run.loss_max, "limits.loss_max"), instrument_count=market.count)
    # P&L of all instruments together stays below 2**62, and what is cut off is beyond the loss limit.
    gate.profit_max_e9 = SUM_MAX // max(1, market.count)
    if gate.loss_max_e9 >= gate.profit_max_e9:
        raise LimitError(
            f"limits.loss_max = {run.loss_max} must be below {gate.profit_max_e9 // E9} with {market.count} instruments"
        )
    own = Market()
    copy_instruments(own, market)
    gate.instruments = own.instruments
    gate.tops = Top.array(market.capacity)
    gate.exposures = Exposure.array(market.capacity)
    gate.profits = Profit.array(market.capacity)
    gate.positions = Position.array(market.capacity)
    gate.limits = InstrumentLimits.array(market.capacity)
    for number, name in enumerate(underlyings):
        if name not in run.underlying:
            raise LimitError(f"[limits.underlying.{name}] is missing: an underlying that is traded needs its limits")
        configured = run.underlying[name]
        limits = gate.underlyings[number]
        limits.gross_max_e9 = _positive_e9(configured.gross_max, f"limits.underlying.{name}.gross_max")
        limits.net_max_e9 = _positive_e9(configured.net_max, f"limits.underlying.{name}.net_max")
        limits.delta_max_e9 = _positive_e9(configured.delta_max, f"limits.underlying.{name}.delta_max")
        if configured.leg_risk is not None:
            _set_leg_risk(limits, configured.leg_risk, f"limits.underlying.{name}.leg_risk")
    _set_run_limits(gate, run)
    return gate


def _set_run_limits(gate: Gate, run: RunLimitsConfig) -> None:
    gate.prevents_self_trade = int(run.self_trade_prevention)
    gate.gross_max_e9 = _positive_e9(run.account.gross_max, "limits.account.gross_max")
    gate.net_max_e9 = _positive_e9(run.account.net_max, "limits.account.net_max")
    try:
        set_token_bucket(gate.bucket, run.account.orders_per_second, run.account.burst)
    except ValueError as error:
        raise LimitError(f"limits.account: {error}") from None
    gate.realised_loss_max_e9 = NO_LIMIT
    if run.realised_loss_max is not None:
        gate.realised_loss_max_e9 = _positive_e9(run.realised_loss_max, "limits.realised_loss_max")
        if gate.realised_loss_max_e9 >= gate.profit_max_e9:
            raise LimitError(
                f"limits.realised_loss_max = {run.realised_loss_max} must be below {gate.profit_max_e9 // E9} with"
                f" {gate.instrument_count} instruments"
            )
    if run.dead_man_ms is not None:
        gate.dead_man_ns = _duration_ns(run.dead_man_ms, "limits.dead_man_ms")
        if run.dead_man_ms < DEAD_MAN_MIN_MS:
            raise LimitError(f"limits.dead_man_ms = {run.dead_man_ms} must be at least {DEAD_MAN_MIN_MS}")
    if run.repeated_execution is not None:
        what = "limits.repeated_execution"
        gate.executions_max = _count(run.repeated_execution.fills_max, EXECUTIONS_MAX, f"{what}.fills_max")
        gate.executions_window_ns = _duration_ns(run.repeated_execution.window_ms, f"{what}.window_ms")


def _set_leg_risk(limits: UnderlyingLimits, configured: LegRiskConfig, what: str) -> None:
    limits.unhedged_max_e9 = _positive_e9(configured.unhedged_max, f"{what}.unhedged_max")
    limits.hedged_within_e9 = _positive_e9(configured.hedged_within, f"{what}.hedged_within")
    limits.unhedged_max_ns = _duration_ns(configured.unhedged_ms_max, f"{what}.unhedged_ms_max")
    if limits.hedged_within_e9 > limits.unhedged_max_e9:
        raise LimitError(f"{what}.hedged_within is above its unhedged_max")


def set_strategy_limits(gate: Gate, configured: Sequence[StrategyLimitsConfig | None], names: Sequence[str]) -> None:
    """Take over the limits of each strategy of the run that has any, and make room for what is known of each."""
    rows = max(1, len(configured) * gate.instrument_count)
    gate.own_positions = Position.array(rows)
    gate.own_exposures = Exposure.array(rows)
    gate.own_profits_e9 = array(i64, rows)
    gate.executions = Executions.array(2 * rows)
    for number, (each, name) in enumerate(zip(configured, names, strict=True)):
        if each is None:
            continue
        limits = gate.strategies[number]
        limits.is_limited = 1
        limits.notional_max_e9 = _positive_e9(each.notional_max, f"limits.notional_max of strategy {name}")
        limits.loss_max_e9 = _positive_e9(each.loss_max, f"limits.loss_max of strategy {name}")
        if limits.loss_max_e9 >= gate.profit_max_e9:
            raise LimitError(f"limits.loss_max of strategy {name} must be below {gate.profit_max_e9 // E9}")


def set_price_bands(gate: Gate, run: RunLimitsConfig, underlyings: list[str]) -> None:
    """Find what each book is compared with: spot and perpetuals of its underlying at other venues, in one currency.

    Dollars and the coins that stand for them are one currency. LimitError where a band has nothing to compare.
    """
    instruments = [gate.instruments[index] for index in range(gate.instrument_count)]
    for number, name in enumerate(underlyings):
        band_bps = run.underlying[name].price_band_bps
        if band_bps is None:
            continue
        band_e9 = _positive_e9(band_bps / 10_000, f"limits.underlying.{name}.price_band_bps")
        if band_e9 > E9:
            raise LimitError(f"limits.underlying.{name}.price_band_bps = {band_bps} is above 10000")
        compared = [each for each in instruments if each.underlying == number and each.kind in COMPARED_KINDS]
        count = 0
        for own in compared:
            peers = [
                each.index
                for each in compared
                if each.venue != own.venue and price_currency(each) == price_currency(own)
            ]
            if len(peers) > PEERS_MAX:
                raise LimitError(f"limits.underlying.{name}.price_band_bps: more than {PEERS_MAX} books to compare")
            limits = gate.limits[own.index]
            limits.band_e9 = band_e9
            limits.peer_count = len(peers)
            for place, peer in enumerate(peers):
                limits.peers[place] = peer
            count += len(peers)
        if count == 0:
            raise LimitError(f"limits.underlying.{name}.price_band_bps: no two venues have a book of it to compare")


def price_currency(instrument: Instrument) -> str:
    """Name what an instrument's prices are compared in: dollars and the coins that stand for them are one."""
    quote = text_of(instrument.quote)
    return "USD" if quote in DOLLARS else quote


def set_venue_limits(gate: Gate, venue: int, configured: VenueLimitsConfig, name: str) -> None:
    """Take over one venue's limits; its token bucket starts full."""
    if not 0 < configured.open_orders_max <= ORDERS_MAX:
        raise LimitError(
            f"limits.open_orders_max = {configured.open_orders_max} of venue {name} must be in 1..{ORDERS_MAX}"
        )
    try:
        set_token_bucket(gate.venues[venue].bucket, configured.orders_per_second, configured.burst)
    except ValueError as error:
        raise LimitError(f"limits of venue {name}: {error}") from None
    limits = gate.venues[venue]
    limits.open_orders_max = configured.open_orders_max
    limits.notional_max_e9 = _positive_e9(configured.notional_max, f"limits.notional_max of venue {name}")
    ratio = configured.order_to_trade
    if ratio is not None:
        what = f"limits.order_to_trade of venue {name}"
        activity = limits.activity
        activity.messages_per_fill_max = _count(
            ratio.messages_per_fill_max, MESSAGES_MAX, f"messages_per_fill_max in {what}"
        )
        activity.messages_min = _count(ratio.messages_min, MESSAGES_MAX, f"messages_min in {what}")
        activity.window_ns = _duration_ns(ratio.window_ms, f"window_ms in {what}")


def set_instrument_limits(gate: Gate, instrument: Instrument, configured: InstrumentLimitsConfig, name: str) -> None:
    """Take over one instrument's limits, in its ticks and lots, after proving that nothing they allow can overflow."""
    limits = gate.limits[instrument.index]
    limits.order_lots_max = _whole(configured.order_max, instrument.lot_e9, f"limits.order_max of {name}")
    limits.position_lots_max = _whole(configured.position_max, instrument.lot_e9, f"limits.position_max of {name}")
    limits.price_ticks_max = _whole(configured.price_max, instrument.tick_e9, f"limits.price_max of {name}")
    limits.order_notional_max_e9 = _positive_e9(configured.order_notional_max, f"limits.order_notional_max of {name}")
    limits.collar_e9 = _positive_e9(configured.price_collar_bps / 10_000, f"limits.price_collar_bps of {name}")
    if limits.collar_e9 > E9:
        raise LimitError(f"limits.price_collar_bps = {configured.price_collar_bps} of {name} is above 10000")
    limits.book_age_max_ns = _duration_ns(configured.book_age_max_ms, f"limits.book_age_max_ms of {name}")
    limits.mark_age_max_ns = _duration_ns(configured.mark_age_max_ms, f"limits.mark_age_max_ms of {name}")
    if limits.order_lots_max > limits.position_lots_max:
        raise LimitError(f"limits.order_max of {name} is above its position_max")
    _set_borrow(instrument, limits, configured.borrow_max, name)
    prove_ranges(instrument, limits, name)
    exposure = gate.exposures[instrument.index]
    exposure.lots_proven = _lots_proven(limits)
    set_lot_values(exposure, instrument, 0)
    prove_sums(gate, instrument, limits, name)


def _set_borrow(instrument: Instrument, limits: InstrumentLimits, borrow_max: Decimal | None, name: str) -> None:
    """Without a borrow no spot is sold short: there is nothing to deliver."""
    limits.short_lots_max = NO_LIMIT if instrument.kind != Kind.SPOT else 0
    if borrow_max is None:
        return
    if instrument.kind != Kind.SPOT:
        raise LimitError(f"limits.borrow_max of {name}: only spot is borrowed, and this is no spot")
    limits.short_lots_max = _whole(borrow_max, instrument.lot_e9, f"limits.borrow_max of {name}")


def _lots_proven(limits: InstrumentLimits) -> int:
    return 2 * limits.position_lots_max + limits.order_lots_max  # a position, an order out, and the one being judged


def lots_provable(gate: Gate, instrument: Instrument, limits: InstrumentLimits) -> int:
    """Find how many lots an instrument's limits may come to, `_lots_proven`, while all that is proven still is.

    What sums over all instruments have left is shared out evenly.
    """
    most = Exposure()
    least, beyond = _lots_proven(limits), 1 << PROVEN_BITS
    for ticks, field, total in (
        (limits.price_ticks_max, "lot_value_e9", gate.values_proven_e9),
        (1, "lot_delta_e9", gate.deltas_proven_e9),
    ):
        set_lot_values(most, instrument, ticks)
        share = (SUM_MAX - 1 - total) // gate.instrument_count
        beyond = min(beyond, least + share // max(1, getattr(most, field)) + 1)
    asked = InstrumentLimits(price_ticks_max=limits.price_ticks_max)
    while beyond - least > 1:
        asked.order_lots_max = (least + beyond) // 2
        try:
            prove_ranges(instrument, asked, "")
            least = asked.order_lots_max
        except LimitError:
            beyond = asked.order_lots_max
    return least


def prove_sums(gate: Gate, instrument: Instrument, limits: InstrumentLimits, name: str) -> None:
    """Show that sums over this instrument and those before it stay below SUM_MAX; LimitError if they can't."""
    lots = _lots_proven(limits)
    most = Exposure()
    set_lot_values(most, instrument, limits.price_ticks_max)
    value_e9 = lots * most.lot_value_e9
    set_lot_values(most, instrument, 1)
    delta_e9 = lots * most.lot_delta_e9
    for field, what, added in (("values_proven_e9", "a notional", value_e9), ("deltas_proven_e9", "coins", delta_e9)):
        total = getattr(gate, field) + added
        if total >= SUM_MAX:
            raise LimitError(
                f"limits allow {what} of {total:.3e} in units of 1e-9 over all instruments up to {name}, which 64"
                " bits can't hold with a margin: lower position_max, order_max or price_max"
            )
        setattr(gate, field, total)


def prove_ranges(instrument: Instrument, limits: InstrumentLimits, name: str) -> None:
    """Show that every product of venues/instrument.py stays below 2**PROVEN_BITS; LimitError names one that can't."""
    lots = _lots_proven(limits)
    price_e9 = limits.price_ticks_max * instrument.tick_e9
    if instrument.payoff == Payoff.INVERSE:
        notional_e9 = lots * instrument.lot_e9
        coins_e9 = notional_e9 * E9 // instrument.tick_e9  # at the lowest price, one tick
        products = {"notional": notional_e9, "coins at one tick": coins_e9, "price * 1000": price_e9 * 1000 >> 3}
    else:
        notional_e9 = lots * limits.price_ticks_max * instrument.tick_lot_e9
        base_e9 = lots * instrument.lot_e9
        products = {"notional": notional_e9, "base * price": base_e9 * (price_e9 // E9 + 1), "price": price_e9}
    for product, value in products.items():
        if value >= 1 << PROVEN_BITS:
            raise LimitError(
                f"limits of {name} allow a {product} of {value:.3e} in units of 1e-9, which 64 bits can't hold with a"
                " margin: lower position_max, order_max or price_max"
            )


def _duration_ns(value_ms: int, what: str) -> int:
    if not 0 < value_ms <= DURATION_MAX_MS:
        raise LimitError(f"{what} = {value_ms} must be in 1..{DURATION_MAX_MS}")
    return value_ms * NS_PER_MS


def _count(value: int, most: int, what: str) -> int:
    if not 0 < value <= most:
        raise LimitError(f"{what} = {value} must be in 1..{most}")
    return value


def _positive_e9(value: Decimal, what: str) -> int:
    scaled = to_e9(value, what)
    if not 0 < scaled < 1 << 62:
        raise LimitError(f"{what} = {value} must be positive and below 4.6e9")
    return scaled


def _whole(value: Decimal, unit_e9: int, what: str) -> int:
    scaled = to_e9(value, what)
    if scaled <= 0 or scaled % unit_e9 != 0:
        raise LimitError(f"{what} = {value} must be a positive multiple of {Decimal(unit_e9) / E9}")
    return scaled // unit_e9
