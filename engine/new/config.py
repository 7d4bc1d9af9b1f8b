"""`crosswire new config --from CAPTURE...`: a whole configuration from what captures define.

What they can't know is set so that it runs and risks little, and every such line says that it is yours to set.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from itertools import combinations
from pathlib import Path

from crosswire.engine.config import ConfigError
from crosswire.engine.configuration.show import key_name, value_text
from crosswire.engine.inspect import fee_bps, instrument_row, term_lines
from crosswire.engine.new.captured import Captured, Found, kind_of, read_captures
from crosswire.engine.new.sizes import Pool, Sizes, lot_of, order_money, pool_of, sizes_of, trade_size
from crosswire.nic.host.name import NAME_RULE, is_name
from crosswire.nic.warning import DataWarning
from crosswire.risk.gate import UNDERLYINGS_MAX
from crosswire.risk.records import INSTRUMENTS_MAX
from crosswire.venues.instrument import E9, Kind, Payoff, text_of
from crosswire.venues.order import VENUES_MAX

TRADED = (Kind.PERPETUAL, Kind.SPOT, Kind.FUTURE)  # those that are written, the best to trade first
MARK = " # set conservatively; yours?"
GUESS = " # a guess, measure it; yours?"
UNTOLD = "# unknown: the captures do not tell it; yours?"
UNKNOWN_FEES_BPS = {"maker_fee": 5, "taker_fee": 10}  # dearer than most venues' lowest tier
LATENCY_US = 1_000
NAMES_SHOWN = 8

HEADER = """# Written by `crosswire new config` from what the captures define: instruments, ticks, lots, payoffs.
# Nobody has thought about the rest: every line that ends in "yours?" is to be set by you.
"""


@dataclass(frozen=True)
class Written:
    """What became of the captures."""

    path: Path
    remarks: list[str]  # what they do not tell, a line each
    warnings: list[DataWarning]  # what is wrong with them


@dataclass(frozen=True)
class Row:
    """An instrument that is written."""

    venue: str
    found: Found
    sizes: Sizes

    @property
    def name(self) -> str:
        """Return "venue/symbol"."""
        return f"{self.venue}/{text_of(self.found.instrument.symbol)}"


def new_config(names: Sequence[str], output: Path, symbols: Sequence[str] = ()) -> Written:
    """Write `output` from captures; `symbols`: only of these instruments, [] of all that have a book.

    ConfigError: nothing can be made of them, or something of that name is there. Raises as `read_captures` does.
    """
    if not is_name(output.stem):
        raise ConfigError(f"{output}: is named after the run: {NAME_RULE}")
    if not names:
        raise ConfigError("new config: nothing to read; write --from CAPTURE, a file, a folder or a pattern in quotes")
    if output.exists() or output.is_symlink():
        raise _taken(output)  # before captures are read, which may take long
    venues, warnings = read_captures(names)
    remarks: list[str] = []
    chosen = dict(zip(_venue_names(venues), (_choose(each, symbols, remarks) for each in venues), strict=True))
    _check_symbols(symbols, venues)
    _check_count(chosen)
    pools: dict[Pool, list[Found]] = {}
    for found in [each for group in chosen.values() for each in group]:
        pools.setdefault(pool_of(found), []).append(found)
    money = {pool: order_money(pool, members) for pool, members in pools.items()}
    rows = {
        name: [Row(name, each, sizes_of(each, money[pool_of(each)])) for each in group]
        for name, group in chosen.items()
    }
    if not any(rows.values()):
        raise ConfigError(f"new config: no instrument of these captures can be traded: {'; '.join(remarks)}")
    captured = dict(zip(rows, venues, strict=True))
    rows = {name: group for name, group in rows.items() if group}
    text = "\n".join(_document(output, rows, captured, remarks)) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}-{os.getpid()}.partial")
    try:
        partial.write_text(text)
        output.hardlink_to(partial)  # whole, and over nothing
    except FileExistsError:
        raise _taken(output) from None
    finally:
        partial.unlink(missing_ok=True)
    return Written(output, remarks, warnings)


def _taken(output: Path) -> ConfigError:
    return ConfigError(f"{output}: exists already, and nothing is overwritten; name another with --output")


def _venue_names(venues: Sequence[Captured]) -> list[str]:
    """Name venues by their feeds; of several with one feed, by their first captures."""
    feeds = [each.adapter.name for each in venues]
    named: list[str] = []
    for each in venues:
        name = each.adapter.name
        if feeds.count(name) > 1:
            stem = Path(each.names[0]).name.partition(".")[0]
            name = stem if is_name(stem) else name
        number = 2
        while name in named:
            name, number = f"{each.adapter.name}-{number}", number + 1
        named.append(name)
    return named


def _choose(captured: Captured, symbols: Sequence[str], remarks: list[str]) -> list[Found]:
    """List a venue's instruments that can be traded; note which others it has, and why they are left out."""
    seen: dict[str, list[Found]] = {}
    left: dict[str, list[str]] = {}
    for each in sorted(captured.found, key=lambda found: (_rank(found), text_of(found.instrument.symbol))):
        symbol = text_of(each.instrument.symbol)
        if symbols and symbol not in symbols:
            continue
        if why := _why_not(each, symbol in seen):
            left.setdefault(why, []).append(symbol)
        else:
            seen.setdefault(symbol, []).append(each)
    for why, others in left.items():
        more = f" and {len(others) - NAMES_SHOWN} more" if len(others) > NAMES_SHOWN else ""
        remarks.append(f"{captured.adapter.name}: left out, {why}: {', '.join(others[:NAMES_SHOWN])}{more}")
    return [found for group in seen.values() for found in group]


def _rank(found: Found) -> int:
    kind = kind_of(found)
    return TRADED.index(kind) if kind in TRADED else len(TRADED)


def _why_not(found: Found, is_named: bool) -> str:
    instrument = found.instrument
    if kind_of(found) not in TRADED:
        return "options and combinations"
    if not (text_of(instrument.base) and text_of(instrument.quote)):
        return "a definition without its currencies"
    if found.price is None:
        return "no book with both sides in what was read"
    if instrument.payoff == Payoff.LINEAR and instrument.tick_e9 * instrument.lot_e9 % E9:
        return "a tick of a lot is worth less than 1e-9"
    return "another one of the same symbol; name each market's capture by itself" if is_named else ""


def _check_symbols(symbols: Sequence[str], venues: Sequence[Captured]) -> None:
    """Refuse a symbol that no venue has, or has without a book."""
    every = [each for venue in venues for each in venue.found]
    there = {text_of(each.instrument.symbol) for each in every if not _why_not(each, is_named=False)}
    if missing := [each for each in symbols if each not in there]:
        shown = ", ".join(sorted(there)[:NAMES_SHOWN]) or "nothing"
        raise ConfigError(f"--instrument {missing[0]}: the captures have no such one with a book; they have {shown}")


def _check_count(chosen: dict[str, list[Found]]) -> None:
    """Refuse more than one run can hold."""
    found = [each for group in chosen.values() for each in group]
    coins = {text_of(each.instrument.base) for each in found}
    for count, most, what in (
        (len(chosen), VENUES_MAX, "venues"),
        (len(found), INSTRUMENTS_MAX, "instruments"),
        (len(coins), UNDERLYINGS_MAX, "underlyings"),
    ):
        if count > most:
            raise ConfigError(
                f"new config: {count} {what}, and a run has {most} at most: name those that you want, --instrument "
                f"SYMBOL each, as {text_of(found[0].instrument.symbol)}"
            )


def _document(
    output: Path, rows: dict[str, list[Row]], captured: dict[str, Captured], remarks: list[str]
) -> Iterator[str]:
    every = [each for group in rows.values() for each in group]
    yield HEADER
    yield f"name = {value_text(output.stem)}\n"
    yield from _strategy(every, remarks)
    yield from _run_limits(every)
    for name, group in rows.items():
        yield from _venue(name, group, captured[name], output, remarks)


def _strategy(rows: Sequence[Row], remarks: list[str]) -> Iterator[str]:
    pair = _pair(rows)
    yield "[strategy]"
    if pair is None:
        remarks.append("strategy: no two instruments of one underlying here; put one of yours in [strategy]")
        yield "# Put your own here: `crosswire new strategy NAME` writes one. This one asks for orders by chance, earns"
        yield "# nothing, and is only there so that the file runs."
        yield 'use = "restless"\n\n[strategy.parameters]'
        yield f"instruments = {value_text([rows[0].name])}"
        yield "seed = 1\nevery = 200\nlots = 1\n"
        return
    size = trade_size([each.sizes for each in pair])
    yield '# Buys where it is cheap and sells where it is dear: docs/strategies.md.\nuse = "cross_spread"\n'
    yield "[strategy.parameters]"
    yield f"instruments = {value_text([each.name for each in pair])}"
    yield f"threshold_bps = 2 {MARK}"
    yield f"close_threshold_bps = 0 {MARK}"
    yield f"size_max = {size:f} {MARK}"
    yield f"position_max = {2 * size:f} {MARK}"
    yield f"unwind_loss_max_bps = 20 {MARK}"
    yield f"slippage_ticks = 2 {MARK}"
    yield f"cooldown_us = 10_000 {MARK}\n"


def _pair(rows: Sequence[Row]) -> tuple[Row, Row] | None:
    """Choose two instruments of one underlying: of two venues if there are such, the best kinds first."""
    pairs = [pair for pair in combinations(rows, 2) if pool_of(pair[0].found) == pool_of(pair[1].found)]
    return min(
        pairs,
        key=lambda pair: (pair[0].venue == pair[1].venue, _rank(pair[0].found) + _rank(pair[1].found)),
        default=None,
    )


def _run_limits(rows: Sequence[Row]) -> Iterator[str]:
    most = max(each.sizes.order_notional_max for each in rows)
    yield "[limits]"
    yield f"loss_max = {value_text(most / 4)} {MARK}"
    yield "self_trade_prevention = true\n\n[limits.account]"
    yield f"gross_max = {value_text(20 * most)} {MARK}"
    yield f"net_max = {value_text(4 * most)} {MARK}"
    yield f"orders_per_second = 20 {MARK}"
    yield f"burst = 10 {MARK}\n"
    coins: dict[str, list[Row]] = {}
    for each in rows:
        coins.setdefault(text_of(each.found.instrument.base), []).append(each)
    for coin, group in coins.items():
        notional = max(each.sizes.order_notional_max for each in group)
        yield f"[limits.underlying.{key_name(coin)}]"
        yield f"gross_max = {value_text(20 * notional)} {MARK}"
        yield f"net_max = {value_text(4 * notional)} {MARK}"
        delta = 4 * max(each.sizes.order_base for each in group)
        yield f"delta_max = {_plain(delta)} {MARK}\n"


def _plain(value: Decimal) -> str:
    """Write an amount with a digit or two, no more decimals than limits may have."""
    rounded = value.quantize(Decimal(1).scaleb(max(-9, value.adjusted() - 1)), ROUND_UP)
    return f"{rounded.normalize():f}"


def _venue(name: str, rows: Sequence[Row], captured: Captured, output: Path, remarks: list[str]) -> Iterator[str]:
    adapter = captured.adapter
    orders = next(each for each, entry in adapter.order_entries.items() if entry.replays)
    most = max(each.sizes.order_notional_max for each in rows)
    yield "[[venue]]"
    yield f"name = {value_text(name)}"
    yield f"feed = {value_text(adapter.name)}"
    if orders != next(iter(adapter.order_entries)):
        yield f"orders = {value_text(orders)}  # captures do not tell how the venue takes orders"
    yield f"captures = {value_text([_beside(output, each) for each in captured.names])}\n"
    yield "[venue.limits]"
    yield f"orders_per_second = 10 {MARK}"
    yield f"burst = 5 {MARK}"
    yield f"open_orders_max = 8 {MARK}"
    yield f"notional_max = {value_text(10 * most)} {MARK}\n"
    yield "[venue.simulation]"
    for way in ("feed", "order", "response"):
        yield f'{way}_latency = {{ model = "constant", us = {LATENCY_US} }} {GUESS}'
    yield f"orders_per_second = 50 {GUESS}"
    yield f"burst = 20 {GUESS}\n"
    if adapter.untold:
        remarks.append(f"{name}: its definitions do not tell {', '.join(adapter.untold)}: those lines are guesses")
    else:
        remarks.append(f"{name}: fees are those that its definitions tell; your account's own may differ")
    for each in rows:
        yield from _instrument(each, adapter.untold)


def _beside(output: Path, name: str) -> str:
    """Name a capture as the configuration has to: relative to itself, unless it was given as a whole path."""
    return name if Path(name).is_absolute() else os.path.relpath(name, output.parent)


def _instrument(row: Row, untold: Sequence[str]) -> Iterator[str]:
    about = instrument_row(row.found.instrument) | dict.fromkeys(untold)
    if not about["settlement"]:
        about["settlement"] = about["base" if about["payoff"] == "inverse" else "quote"]
        untold = [*untold, "settlement"]
    about["contract"] = about["contract"] or _plain(lot_of(row.found))
    for line in term_lines(about):
        yield f"{line}  {UNTOLD}" if line.partition(" =")[0] in untold else line
    for key, guess in UNKNOWN_FEES_BPS.items():
        bps = fee_bps(about, key)
        if bps is None:
            yield f"{key}_bps = {guess}  {UNTOLD}"
        else:
            yield f"{key}_bps = {bps:f}  # the venue's, by its definitions; your account's own is unknown; yours?"
    sizes = row.sizes
    yield "\n[venue.instrument.limits]"
    yield f"order_max = {value_text(sizes.order_max.normalize())} {MARK}"
    yield f"order_notional_max = {value_text(sizes.order_notional_max)} {MARK}"
    yield f"position_max = {value_text(sizes.position_max.normalize())} {MARK}"
    yield f"price_max = {value_text(sizes.price_max.normalize())}  # ten times what was seen; yours?"
    yield f"price_collar_bps = 20 {MARK}"
    yield f"book_age_max_ms = 2_000 {MARK}"
    yield f"mark_age_max_ms = 60_000 {MARK}\n"
