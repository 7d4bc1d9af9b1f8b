"""Margin: what an account must hold for a position, and the price at which the venue takes the position away.

Two schemes. Brackets (Binance): a maintenance rate for each range of the position's value, and an amount that makes
the sum continuous, so that a bracket's rate applies to what lies in it alone
(https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93). By size (Deribit's standard margin): a rate
that grows with the position in coins (https://support.deribit.com/hc/en-us/articles/25944756807069).

Everything here is one instrument's, in the settlement currency; the account's other positions come in as numbers.
"""

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal, localcontext

import msgspec

from crosswire.venues.money.amount import PRECISION_DIGITS

BRACKETS_MAX = 32  # Binance has 10 to 12 a symbol


class MarginBracket(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A range of position values, and its rates as fractions."""

    value_min: Decimal  # settlement currency: USDT, or coins of an inverse contract
    initial_rate: Decimal  # 1 / the largest leverage
    maintenance_rate: Decimal  # below the initial one


class SizeMargin(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Rates that grow with the position: `base + size * per_coin`."""

    initial_base: Decimal  # rate of the smallest position
    maintenance_base: Decimal  # rate of the smallest position
    per_coin: Decimal  # of rate for each coin of position

    def initial(self, size: Decimal) -> Decimal:
        """Compute the initial margin in coins of a position of `size` coins, not signed."""
        with localcontext(prec=PRECISION_DIGITS):
            return size * (self.initial_base + size * self.per_coin)

    def maintenance(self, size: Decimal) -> Decimal:
        """Compute the maintenance margin in coins of a position of `size` coins, not signed."""
        with localcontext(prec=PRECISION_DIGITS):
            return size * (self.maintenance_base + size * self.per_coin)


def check_brackets(brackets: Sequence[MarginBracket]) -> None:
    """ValueError says what is wrong with a table of brackets."""
    if not 1 <= len(brackets) <= BRACKETS_MAX:
        raise ValueError(f"{len(brackets)} margin brackets: give 1 to {BRACKETS_MAX}")
    if brackets[0].value_min != 0:
        raise ValueError(f"the first margin bracket begins at {brackets[0].value_min}: it must begin at 0")
    for bracket in brackets:
        if not 0 < bracket.maintenance_rate <= bracket.initial_rate <= 1:
            raise ValueError(
                f"margin bracket from {bracket.value_min}: 0 < maintenance_rate <= initial_rate <= 1 does not hold"
            )
    for below, above in itertools.pairwise(brackets):
        if above.value_min <= below.value_min or above.maintenance_rate <= below.maintenance_rate:
            raise ValueError(
                f"margin brackets: value_min and maintenance_rate must grow, from {below.value_min} on too"
            )


def maintenance_amounts(brackets: Sequence[MarginBracket]) -> list[Decimal]:
    """Compute each bracket's maintenance amount: the venue's own sum over the brackets below."""
    amounts = [Decimal(0)]
    with localcontext(prec=PRECISION_DIGITS):
        for below, above in itertools.pairwise(brackets):
            amounts.append(amounts[-1] + above.value_min * (above.maintenance_rate - below.maintenance_rate))
    return amounts


def bracket_at(brackets: Sequence[MarginBracket], value: Decimal) -> int:
    """Find the place of the bracket of a position value, not signed; a bound belongs to the bracket that it ends."""
    if value <= 0:
        return 0
    place = bisect_right([bracket.value_min for bracket in brackets], value) - 1
    return place - 1 if place > 0 and brackets[place].value_min == value else place


def bracket_maintenance(brackets: Sequence[MarginBracket], value: Decimal) -> Decimal:
    """Compute the maintenance margin of a position value, not signed."""
    place = bracket_at(brackets, value)
    with localcontext(prec=PRECISION_DIGITS):
        return value * brackets[place].maintenance_rate - maintenance_amounts(brackets)[place]


def bracket_initial(brackets: Sequence[MarginBracket], value: Decimal) -> Decimal:
    """Compute the initial margin of a position value, not signed, at the largest leverage that the venue allows it."""
    with localcontext(prec=PRECISION_DIGITS):
        return value * brackets[bracket_at(brackets, value)].initial_rate


def liquidation_price(
    brackets: Sequence[MarginBracket], balance: Decimal, size: Decimal, entry: Decimal, is_inverse: bool
) -> Decimal | None:
    """Find the price at which what an account holds falls to the position's maintenance margin; None: there is none.

    balance: settlement currency, what the account holds less other positions' maintenance margin plus their
    unrealised P&L. size: signed, in the size currency. entry: average price. The bracket is the one at the price found.
    """
    if size == 0:
        return None
    amounts = maintenance_amounts(brackets)
    for place, bracket in enumerate(brackets):
        arguments = (balance + amounts[place], size, entry, bracket.maintenance_rate)
        price = _inverse_price(*arguments) if is_inverse else _linear_price(*arguments)
        if price is None or price <= 0:
            continue
        with localcontext(prec=PRECISION_DIGITS):
            value = abs(size) / price if is_inverse else abs(size) * price
        above = brackets[place + 1].value_min if place + 1 < len(brackets) else None
        if value >= bracket.value_min and (above is None or value <= above):
            return price
    return None


def _linear_price(funds: Decimal, size: Decimal, entry: Decimal, rate: Decimal) -> Decimal | None:
    """Solve funds + size * (price - entry) = |size| * price * rate."""
    with localcontext(prec=PRECISION_DIGITS):
        slope = abs(size) * rate - size
        return (funds - size * entry) / slope if slope != 0 else None


def _inverse_price(funds: Decimal, size: Decimal, entry: Decimal, rate: Decimal) -> Decimal | None:
    """Solve funds + size * (1 / entry - 1 / price) = |size| / price * rate."""
    with localcontext(prec=PRECISION_DIGITS):
        coins = funds + size / entry
        return (size + abs(size) * rate) / coins if coins != 0 else None
