"""What is traded, and the one home of every conversion between ticks, lots, money and coins.

Prices are int64 ticks of the instrument, or `price_e9` (1e-9 of the quote currency) where instruments are compared.
Quantities are int64 lots. A lot is counted in the size currency: the base coin for spot and linear contracts, the quote
currency (USD) for inverse ones. Money is int64 units of 1e-9 of the currency named.

Nothing below checks for overflow: `risk.limits` proves at load that the configured limits can't reach it.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, f64, i64, u8
from crosswire.nic.unit.compile import compiled
from crosswire.venues.side import BUY, SELL

E6 = 1_000_000
E9 = 1_000_000_000
SYMBOL_BYTES = 32
CURRENCY_BYTES = 8


class Kind(IntEnum):
    SPOT = 0
    PERPETUAL = 1
    FUTURE = 2
    OPTION = 3
    COMBO = 4


class Payoff(IntEnum):
    LINEAR = 0
    INVERSE = 1


def text_of(text: Array | bytes) -> str:
    """Read a zero-padded wire text."""
    return bytes(text).rstrip(b"\0").decode("ascii", "backslashreplace")


def set_text(field: Array, text: str) -> None:
    """Write a zero-padded wire text. ValueError if it does not fit."""
    if len(text) > len(field) or not text.isascii():
        raise ValueError(f"{text!r} does not fit {len(field)} ASCII letters")
    field.numpy()[:] = list(text.encode().ljust(len(field), b"\0"))


class Instrument(Struct):
    """One instrument of one venue. Rates and sizes are 1e-9 units; `_e9` says so."""

    index: i64  # in the market
    venue: i64
    venue_id: i64  # the venue's own id, -1 until its definition was seen
    underlying: i64  # exposures are summed over instruments of one underlying
    kind: i64  # Kind
    payoff: i64  # Payoff
    tick_e9: i64  # price of one tick, quote currency
    lot_e9: i64  # size of one lot, size currency
    tick_lot_e9: i64  # linear: value of one lot per tick, quote currency = tick * lot, exact
    contract_e9: i64  # size of one contract, size currency: what the venue calls 1
    maker_fee_e9: i64  # fraction of notional; negative is a rebate
    taker_fee_e9: i64
    expiry_ns: i64  # 0: none
    speed_bump_ns: i64  # that the venue holds an order which would match on arrival; 0: it does not
    ticks_per_unit: f64  # 1 / tick, for feeds that send doubles
    lots_per_unit: f64  # 1 / lot
    symbol: Annotated[Array, u8, SYMBOL_BYTES]
    base: Annotated[Array, u8, CURRENCY_BYTES]
    quote: Annotated[Array, u8, CURRENCY_BYTES]
    settlement: Annotated[Array, u8, CURRENCY_BYTES]


@compiled
def price_e9(instrument: Instrument, price_ticks: int) -> int:
    """Convert a price to 1e-9 of the quote currency."""
    return price_ticks * instrument.tick_e9


@compiled
def multiply_e9(value: int, rate_e9: int) -> int:
    """Compute floor(value * rate_e9 / 1e9) for |rate_e9| <= 1e9 and any value, split so that no product overflows."""
    return (value // E9) * rate_e9 + (value % E9) * rate_e9 // E9


@compiled
def divide_e9(value: int, divisor: int) -> int:
    """Compute floor(value * 1e9 / divisor) for divisor in 1..2**63 / 1000, by three base-1000 digits at a time."""
    quotient = value // divisor
    remainder = value % divisor
    for _ in range(3):
        remainder *= 1000
        quotient = quotient * 1000 + remainder // divisor
        remainder %= divisor
    return quotient


@compiled
def multiply_divide(value: int, factor: int, divisor: int) -> int:
    """Compute floor(value * factor / divisor) for what is not negative, a divisor up to 2**62, and a result that fits.

    By long multiplication in base 2, so that nothing on the way overflows: for what is rarely computed.
    """
    whole = factor // divisor
    rest = factor % divisor
    quotient = remainder = 0
    for place in range(63):
        quotient *= 2
        remainder *= 2
        if remainder >= divisor:
            remainder -= divisor
            quotient += 1
        if value >> (62 - place) & 1 != 0:
            quotient += whole
            remainder += rest
            if remainder >= divisor:
                remainder -= divisor
                quotient += 1
    return quotient


@compiled
def notional_e9(instrument: Instrument, price_ticks: int, qty_lots: int) -> int:
    """Compute a quantity's exact value in 1e-9 of the quote currency, in which inverse contracts are sized anyway."""
    if instrument.payoff == Payoff.INVERSE:
        return qty_lots * instrument.lot_e9
    return qty_lots * price_ticks * instrument.tick_lot_e9


@compiled
def base_e9(instrument: Instrument, price_ticks: int, qty_lots: int) -> int:
    """Convert a quantity to 1e-9 of the base coin (an inverse contract's coin delta at that price, rounded down)."""
    if instrument.payoff == Payoff.INVERSE:
        return divide_e9(qty_lots * instrument.lot_e9, price_ticks * instrument.tick_e9)
    return qty_lots * instrument.lot_e9


@compiled
def lots_of_base(instrument: Instrument, price_ticks: int, size_e9: int) -> int:
    """Count the whole lots in `size_e9` (1e-9 of the base coin, not negative), rounded down."""
    if instrument.payoff == Payoff.INVERSE:
        price = price_ticks * instrument.tick_e9
        return (size_e9 * (price // E9) + multiply_e9(size_e9, price % E9)) // instrument.lot_e9
    return size_e9 // instrument.lot_e9


@compiled
def settlement_value_e9(instrument: Instrument, price_ticks: int, qty_lots: int) -> int:
    """Compute a quantity's value in 1e-9 of the settlement currency: quote money for linear, coins for inverse."""
    if instrument.payoff == Payoff.INVERSE:
        return base_e9(instrument, price_ticks, qty_lots)
    return notional_e9(instrument, price_ticks, qty_lots)


@compiled
def cash_flow_e9(instrument: Instrument, side: int, price_ticks: int, qty_lots: int) -> int:
    """Compute the cash that a trade adds to P&L before the position is valued, without fees.

    In 1e-9 of the settlement currency. Linear: a buy pays price times size. Inverse: P&L of N USD from p1 to p2 is
    N / p1 - N / p2 coins, so a buy adds N / p1 and the open position is worth -N / p2. Coins are rounded down, an
    error below 1e-9 coin a fill.
    """
    value = settlement_value_e9(instrument, price_ticks, qty_lots)
    if instrument.payoff == Payoff.INVERSE:
        return value if side == BUY else -value
    return -value if side == BUY else value


@compiled
def position_value_e9(instrument: Instrument, price_ticks: int, position_lots: int) -> int:
    """Compute what an open position (signed lots) adds to P&L at this price, 1e-9 of the settlement currency."""
    if position_lots >= 0:
        return cash_flow_e9(instrument, SELL, price_ticks, position_lots)
    return cash_flow_e9(instrument, BUY, price_ticks, -position_lots)


@compiled
def fee_e9(instrument: Instrument, price_ticks: int, qty_lots: int, is_maker: int) -> int:
    """Compute the fee of a fill, 1e-9 of the settlement currency; positive is paid. Rounded up, never in our favour."""
    rate_e9 = instrument.maker_fee_e9 if is_maker != 0 else instrument.taker_fee_e9
    return -multiply_e9(settlement_value_e9(instrument, price_ticks, qty_lots), -rate_e9)


@compiled
def has_terms(instrument: Instrument, tick_e9: int, lot_e9: int, contract_e9: int, payoff: int) -> bool:
    """Tell whether sizes and payoff are as configured. Fees are the account's own, so the wire's are not compared."""
    return (
        instrument.tick_e9 == tick_e9
        and instrument.lot_e9 == lot_e9
        and instrument.contract_e9 == contract_e9
        and instrument.payoff == payoff
    )


@compiled
def common_divisor(first: int, second: int) -> int:
    """Find the greatest common divisor, for example of tick sizes."""
    while second != 0:
        rest = first % second
        first = second
        second = rest
    return first
