"""What `crosswire import binance` is, and what a configuration's `recordings` are imported by.

The importer itself is imported when it is called: a backtest over captures that are there needs none of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.adapter import Imported, ImportSetup

if TYPE_CHECKING:
    from crosswire.venues.bridge.binance.importer import ImportOptions, ImportSummary

COUNTS = ("lines", "deltas", "levels", "quotes", "trades", "breaks", "packets")
DETAILS = (
    "mark_prices",
    "snapshots",
    "held",
    "dropped",
    "bad_lines",
    "other_streams",
    "other_symbols",
    "levels_off_tick",
    "levels_unreal",
    "sizes_rounded",
    "exchange_times_refused",
    "sent_later",
    "clock_steps_back",
    "clock_leaps",
    "clock_set",
)


class BinanceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command takes beside recordings, folder and clock offset."""

    market: Annotated[str, msgspec.Meta(description="spot, usdm or coinm; default: told from the lines.")] = ""
    terms: Annotated[str, msgspec.Meta(description="TOML with tick, lot, contract, fees of symbols.")] = ""
    delay_floor_ms: Annotated[
        str, msgspec.Meta(description="Least time that a message is under way, for --clock-offset-ms auto.")
    ] = "0"


def options_of(setup: ImportSetup) -> "ImportOptions":
    """Read the importer's options. ValueError for a market that there is not."""
    from crosswire.venues.bridge.binance.importer import ImportOptions
    from crosswire.venues.bridge.binance.terms import load_terms, market_of

    options: BinanceOptions = setup.options
    try:
        floor_ns = round(float(options.delay_floor_ms) * NS_PER_MS)
    except (ValueError, OverflowError):
        raise ValueError(f"--delay-floor-ms {options.delay_floor_ms!r} is no number") from None
    return ImportOptions(
        market=market_of(options.market) if options.market else None,
        terms=load_terms(Path(options.terms)) if options.terms else None,
        clock_offset_ns=setup.clock_offset_ns,
        delay_floor_ns=floor_ns,
        strict=setup.strict,
    )


def import_recordings(recordings: Sequence[Path], folder: Path, setup: ImportSetup) -> list[Imported]:
    """Import recordings into `folder`, one capture each."""
    from crosswire.venues.bridge.binance.importer import import_binance

    return [imported(summary) for summary in import_binance(recordings, folder, options_of(setup))]


def import_pairs(pairs: Sequence[tuple[Path, Path]], setup: ImportSetup) -> list[Imported]:
    """Import recordings, each as exactly that capture."""
    from crosswire.venues.bridge.binance.importer import import_as

    return [imported(summary) for summary in import_as(pairs, options_of(setup))]


def imported(summary: "ImportSummary") -> Imported:
    """Keep of a summary what is shown of every importer."""
    return Imported(
        recording=summary.source,
        capture=summary.output,
        counts={name: getattr(summary, name) for name in COUNTS},
        details={name: getattr(summary, name) for name in DETAILS},
        seconds=summary.seconds,
        clock=summary.clock,
        warnings=summary.warnings,
    )
