"""What `crosswire import binance` is, and what a configuration's `recordings` are imported by.

The importer itself is imported when it is called: a backtest over captures that are there needs none of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from crosswire.venues.adapter import Imported, ImportSetup

if TYPE_CHECKING:
    from crosswire.venues.bridge.binance.importer import ImportSummary

COUNTS = ("lines", "deltas", "levels", "quotes", "trades", "breaks", "packets")


class BinanceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command takes beside recordings, folder and clock offset."""

    market: Annotated[str, msgspec.Meta(description="spot, usdm or coinm; default: told from the lines.")] = ""
    terms: Annotated[str, msgspec.Meta(description="TOML with tick, lot, contract, fees of symbols.")] = ""


def import_recordings(recordings: Sequence[Path], folder: Path, setup: ImportSetup) -> list[Imported]:
    """Import recordings into `folder`, one capture each. ValueError for a market that there is not."""
    from crosswire.venues.bridge.binance.importer import import_binance, load_terms, market_of

    options: BinanceOptions = setup.options
    market = market_of(options.market) if options.market else None
    terms = load_terms(Path(options.terms)) if options.terms else None
    summaries = import_binance(recordings, folder, market, setup.clock_offset_ns, terms)
    return [imported(summary) for summary in summaries]


def import_recording(recording: Path, capture: Path, setup: ImportSetup) -> Imported:
    """Import one recording as `capture`."""
    from crosswire.venues.bridge.binance.importer import import_file

    return imported(import_file(recording, capture, clock_offset_ns=setup.clock_offset_ns))


def imported(summary: "ImportSummary") -> Imported:
    """Keep of a summary what is shown of every importer."""
    counts = {name: getattr(summary, name) for name in COUNTS}
    return Imported(capture=summary.output, counts=counts, seconds=summary.seconds)
