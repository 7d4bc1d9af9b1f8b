"""`inspect` of the bridge feed: several markets of one exchange side by side, nothing lost, nothing mixed up."""

from pathlib import Path

from crosswire.engine.inspect import inspect_captures
from crosswire.venues.bridge.binance.importer import import_binance
from tests.support.paths import recording


def test_markets_that_share_a_symbol_are_told_apart(tmp_path: Path) -> None:
    recordings = [recording(f"binance/{market}/btcusdt_20240808.gz") for market in ("spot", "usdm")]
    summaries = import_binance(recordings, tmp_path)
    result = inspect_captures([summary.output for summary in summaries], "bridge")
    assert result["packets"] == sum(summary.packets for summary in summaries)
    assert (result["gaps"], result["duplicates"], result["continuity_breaks"]) == (0, 0, 0)
    assert result["definition_mismatches"] == 0
    assert result["rejects"] == {}
    assert set(result["books"]) == {"BTCUSDT spot", "BTCUSDT perpetual"}
    assert all(book["valid"] for book in result["books"].values())
    assert result["books"]["BTCUSDT spot"]["bid"][0] != result["books"]["BTCUSDT perpetual"]["bid"][0]
