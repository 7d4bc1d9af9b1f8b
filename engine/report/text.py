"""Numbers as people read them, for the console and the report."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from crosswire.engine.report.currency import DOLLARS

CENT = Decimal("0.01")
DOLLAR_DIGITS = 2
COIN_DIGITS = 8


def number_text(count: int) -> str:
    """Format a number with its thousands apart."""
    return f"{count:,}"


def percent_text(fraction: float | None) -> str:
    """Format a percentage to one decimal; "-" when there is nothing to take a fraction of."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def money_text(amount: Decimal, currency: str, sign: bool = False, named: bool = True) -> str:
    """Format dollars to the cent, coins to eight decimals; `sign` shows a plus too, `named` adds the currency."""
    if currency in DOLLARS and abs(amount) >= CENT:
        digits = DOLLAR_DIGITS
    else:
        digits = COIN_DIGITS
    text = f"{amount:{'+' if sign and amount else ''},.{digits}f}"
    if digits == COIN_DIGITS:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {currency}" if named else text


def moneys_text(amounts: Mapping[str, Decimal]) -> str:
    """List amounts of several currencies in one line."""
    return ", ".join(money_text(amount, currency) for currency, amount in amounts.items()) or "nothing"


def counts_text(counts: Mapping[str, int]) -> str:
    """List names and counts in one line."""
    return ", ".join(f"{name} {number_text(count)}" for name, count in counts.items()) or "none"


def duration_text(duration_ns: int | None) -> str:
    """Format three digits and a unit, from ten minutes on two units; "-" for none."""
    if duration_ns is None:
        return "-"
    minutes, seconds = divmod(duration_ns // 1_000_000_000, 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02d} min"
    if minutes >= 10:
        return f"{minutes} min {seconds:02d} s"
    for unit_ns, unit in ((1_000_000_000, "s"), (1_000_000, "ms"), (1000, "µs")):
        value = duration_ns / unit_ns
        if abs(value) >= 999.5:
            return f"{value:,.0f} {unit}"
        if abs(value) >= 0.9995:  # what three digits of the smaller unit would show as 1000
            return f"{value:.3g} {unit}"
    return f"{duration_ns} ns"


def precise_time_text(time_ns: int) -> str:
    """Format UTC to the ns."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}.{time_ns % 1_000_000_000:09d}"


def time_text(time_ns: int) -> str:
    """Format UTC to the millisecond; "-" for 0, which means never."""
    if time_ns <= 0:
        return "-"
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d} UTC"
