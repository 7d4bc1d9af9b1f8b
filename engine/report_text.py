"""Numbers as people read them, for the console and the report."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

DOLLAR_DIGITS = 2
COIN_DIGITS = 8


def number_text(count: int) -> str:
    """Thousands apart."""
    return f"{count:,}"


def percent_text(fraction: float | None) -> str:
    """One decimal; "-" when there is nothing to take a fraction of."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def money_text(amount: Decimal, currency: str = "") -> str:
    """Eight decimals below one, as coins need, else two; the sign is always there, but for zero."""
    digits = DOLLAR_DIGITS if abs(amount) >= 1 else COIN_DIGITS
    text = f"{amount:+,.{digits}f}" if amount else "0"
    if digits == COIN_DIGITS and "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {currency}".rstrip()


def moneys_text(amounts: Mapping[str, Decimal]) -> str:
    """Amounts of several currencies in one line."""
    return ", ".join(money_text(amount, currency) for currency, amount in amounts.items()) or "nothing"


def counts_text(counts: Mapping[str, int]) -> str:
    """Names and counts in one line."""
    return ", ".join(f"{name} {number_text(count)}" for name, count in counts.items()) or "none"


def duration_text(duration_ns: int | None) -> str:
    """Three digits and a unit; "-" for none."""
    if duration_ns is None:
        return "-"
    for unit_ns, unit in ((1_000_000_000, "s"), (1_000_000, "ms"), (1000, "µs")):
        if abs(duration_ns) >= unit_ns:
            value = duration_ns / unit_ns
            if unit == "s" and abs(value) >= 1000:
                return f"{value:,.0f} s"
            return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"
    return f"{duration_ns} ns"


def time_text(time_ns: int) -> str:
    """UTC to the millisecond; the instant that never was is "-"."""
    if time_ns <= 0:
        return "-"
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d} UTC"
