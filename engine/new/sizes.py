"""How large orders and positions may be in a configuration that nobody has thought about yet: small, and provable."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from crosswire.engine.new.captured import Found
from crosswire.risk.gate import InstrumentLimits
from crosswire.risk.limits import LimitError, price_currency, prove_ranges
from crosswire.venues.instrument import E9, Payoff, text_of

ORDER_MONEY = Decimal(1_000)  # of one order, where prices are in dollars
ORDER_LOTS = 10  # where they are not
ORDERS_HELD = 5  # of one instrument
PRICE_ROOM = 10  # how far the price may go, times today's
MONEY_ROOM = Decimal("1.5")  # of one order's notional over what it is worth today

Pool = tuple[str, str]  # base coin, and what its prices are compared in: what limits are shared by


@dataclass(frozen=True)
class Sizes:
    """The limits of one instrument, as its configuration has them."""

    order_max: Decimal
    order_notional_max: Decimal
    position_max: Decimal
    price_max: Decimal
    order_base: Decimal  # the largest order in the base coin, at today's price
    lot_base: Decimal  # a lot, likewise


def pool_of(found: Found) -> Pool:
    """Tell which instruments an instrument can be traded against."""
    return text_of(found.instrument.base), price_currency(found.instrument)


def one_digit(value: Decimal, rounding: str) -> Decimal:
    """Round to one digit."""
    return value.quantize(Decimal(1).scaleb(value.adjusted()), rounding)


def lot_of(found: Found) -> Decimal:
    """Return the size of a lot, in the size currency."""
    return Decimal(found.instrument.lot_e9) / E9


def lot_worth(found: Found) -> Decimal:
    """Return what a lot is worth, in the quote currency."""
    assert found.price is not None
    return lot_of(found) if found.instrument.payoff == Payoff.INVERSE else lot_of(found) * found.price


def order_money(pool: Pool, members: Sequence[Found]) -> Decimal:
    """Return what one order may be worth in all of a pool: no less than a lot of any."""
    largest = max(map(lot_worth, members))
    return max(largest, ORDER_MONEY if pool[1] == "USD" else ORDER_LOTS * largest)


def sizes_of(found: Found, money: Decimal) -> Sizes:
    """Set the limits of one instrument whose orders may be worth `money`."""
    assert found.price is not None
    tick = Decimal(found.instrument.tick_e9) / E9
    lot, worth = lot_of(found), lot_worth(found)
    price_ticks_max = int((one_digit(PRICE_ROOM * found.price, ROUND_UP) / tick).to_integral_value(ROUND_UP))
    lots = max(1, int(one_digit(money / worth, ROUND_UP)))
    while lots > 1 and not _is_provable(found, lots, price_ticks_max):
        lots //= 10
    lots = max(1, lots)
    to_base = 1 / found.price if found.instrument.payoff == Payoff.INVERSE else Decimal(1)
    return Sizes(
        order_max=lots * lot,
        order_notional_max=one_digit(lots * worth * MONEY_ROOM, ROUND_UP),
        position_max=ORDERS_HELD * lots * lot,
        price_max=price_ticks_max * tick,
        order_base=lots * lot * to_base,
        lot_base=lot * to_base,
    )


def _is_provable(found: Found, lots: int, price_ticks_max: int) -> bool:
    """Tell whether 64 bits hold all that such limits allow."""
    limits = InstrumentLimits(
        order_lots_max=lots, position_lots_max=ORDERS_HELD * lots, price_ticks_max=price_ticks_max
    )
    try:
        prove_ranges(found.instrument, limits, "")
    except LimitError:
        return False
    return True


def trade_size(pair: Sequence[Sizes]) -> Decimal:
    """Return the largest size of a trade between instruments, in the base coin: one that all of them can do."""
    size = one_digit(min(each.order_base for each in pair), ROUND_DOWN)
    least = max(each.lot_base for each in pair)
    return size if size >= least else one_digit(least, ROUND_UP)
