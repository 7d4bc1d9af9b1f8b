"""`crosswire bench backtest`: two-venue arbitrage side by side with hftbacktest, in one run on the same data.

    python -m tests.bench.backtest [RUNS]

Spot and USD-M BTC of Binance, 345 s tiled 20 times: depth and trades, which is all that hftbacktest's converter keeps
of the recordings, and for crosswire also all of it, the 94,129 best bid/ask messages a tile included. Each of RUNS
rounds runs crosswire from captures on disk (decode, two books a venue, strategy, gate, simulated exchange, records)
and hftbacktest 2.4.4 from memory and from its .npz files, each in a process of its own. A row is a level change or a
trade; medians over the rounds; memory is the process's peak.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.tile import tile_capture
from tests.bench.yardstick import SHIFT_S, TILES, cache_folder, call, made_once, real_recording, tiled_data
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "binance-btc.toml"
SIZE = "0.001"  # BTC, of the yardstick's orders
SPREAD_BPS = "1.94"  # 12 USDT at 61,800, the yardstick's threshold


def captures() -> Path:
    """The folder with both venues' tiled captures and `rows.json`."""

    def make(folder: Path) -> None:
        from crosswire.venues.bridge.binance.importer import import_file

        rows = 0
        for market in ("spot", "usdm"):
            whole, without = folder / f"{market}_once.pcap", folder / f"{market}_depth_once.pcap"
            import_file(real_recording(market), whole)
            drop_quotes(whole, without)
            tile_capture(whole, folder / f"{market}_quotes.pcap", TILES, SHIFT_S)
            rows += tile_capture(without, folder / f"{market}.pcap", TILES, SHIFT_S).rows
            whole.unlink()
            without.unlink()
        (folder / "rows.json").write_text(json.dumps(rows))

    return made_once(cache_folder() / f"crosswire-btc-depth-x{TILES}", make)


def drop_quotes(source: Path, target: Path) -> None:
    """Copy a capture of the bridge feed without its best bid/ask packets, numbered anew."""
    from crosswire.nic.capture.writer import CaptureWriter
    from crosswire.nic.memory.struct import address_of, array, size_of, u8, view
    from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
    from crosswire.nic.rings.replay import read_frames
    from crosswire.venues.bridge.wire.layout import MessageHeader, PacketHeader, Template

    sequence = 0
    buffer = array(u8, 2048)
    packet = view(PacketHeader, address_of(buffer) + UDP_FRAME_HEADER_BYTES)
    message = view(MessageHeader, address_of(buffer) + UDP_FRAME_HEADER_BYTES + size_of(PacketHeader))
    with CaptureWriter(target) as writer:
        for time_ns, frame in read_frames([source]):
            buffer.numpy()[: len(frame)] = memoryview(frame)
            if message.template_id != Template.BEST_BID_ASK:
                sequence = sequence + 1 if sequence else packet.sequence
                packet.sequence = sequence
                writer.write(time_ns, bytes(buffer)[: len(frame)])


def configuration(folder: Path, suffix: str) -> str:
    """The two-venue part of the example, without fees, with the yardstick's size and threshold, and wide limits."""
    # The yardstick records nothing on the way; here the time series are kept to one row a second.
    text = "sample_interval_ms = 1000\n" + EXAMPLE.read_text().partition('[[venue]]\nname = "coinm"')[0]
    lines = []
    replaced = {
        "instruments": 'instruments = ["spot/BTCUSDT", "usdm/BTCUSDT"]',
        "threshold_bps": f"threshold_bps = {SPREAD_BPS}",
        "close_threshold_bps": f"close_threshold_bps = {SPREAD_BPS}",
        "depth": "depth = 1",
        "size_max": f"size_max = {SIZE}",
        "position_max": "position_max = 100",
        "net_max": "net_max = 10_000_000",
        "delta_max": "delta_max = 200",
        "borrow_max": "borrow_max = 100",
        "gross_max": "gross_max = 20_000_000",
        "loss_max": "loss_max = 1_000_000",
        "maker_fee_bps": "maker_fee_bps = 0",
        "taker_fee_bps": "taker_fee_bps = 0",
        "clock_offset_ms": "",
        "recordings": "",
    }
    for line in text.splitlines():
        key = line.partition(" =")[0]
        if key == "captures":
            market = "spot" if "spot" in line else "usdm"
            line = f"captures = [{json.dumps(str(folder / f'{market}{suffix}.pcap'))}]"
        lines.append(replaced.get(key, line))
    return "\n".join(lines).replace("notional_max = 1_000_000", "notional_max = 20_000_000")


def run_crosswire(folder: Path, work: Path, suffix: str = "") -> dict[str, Any]:
    """One process: figures of its summary, and its peak memory."""
    config = work / "bench.toml"
    config.write_text(configuration(folder, suffix))
    command = [sys.executable, "-m", "tests.bench.backtest_run", str(config), str(work)]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(output.strip().splitlines()[-1]))


def main(rounds: int = 3) -> None:
    """Print a line a round and the JSON line with medians."""
    import tempfile

    folder, tiled = captures(), tiled_data()
    rows = json.loads((folder / "rows.json").read_text())
    names = ("crosswire", "with quotes", "hftbacktest mem", "hftbacktest npz")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as work:
        run_crosswire(folder, Path(work))  # compiles, if need be
        for number in range(rounds):
            results["crosswire"].append(run_crosswire(folder, Path(work)) | {"rows": rows})
            results["with quotes"].append(run_crosswire(folder, Path(work), "_quotes") | {"rows": rows})
            for source in ("mem", "npz"):
                results[f"hftbacktest {source}"].append(call("run", tiled, "roi", source))
            for name, runs in results.items():
                rate = runs[-1]["rows"] / runs[-1]["run_s"] / 1e6
                memory_mb = runs[-1]["peak_memory_bytes"] / 1e6
                print(f"round {number + 1}: {name:16} {rate:6.2f} M rows/s  {memory_mb:6.0f} MB")
    rate = {name: statistics.median(run["rows"] / run["run_s"] for run in runs) for name, runs in results.items()}
    memory = {name: statistics.median(run["peak_memory_bytes"] for run in runs) for name, runs in results.items()}
    figures = {
        "name": "backtest",
        "rows": rows,
        "crosswire_rows_per_s": round(rate["crosswire"]),
        "crosswire_rows_per_s_with_quotes": round(rate["with quotes"]),
        "hftbacktest_memory_rows_per_s": round(rate["hftbacktest mem"]),
        "hftbacktest_files_rows_per_s": round(rate["hftbacktest npz"]),
        "ratio": round(rate["crosswire"] / rate["hftbacktest mem"], 2),
        "ratio_to_loading_included": round(rate["crosswire"] / rate["hftbacktest npz"], 2),
        "crosswire_peak_memory_mb": round(memory["crosswire"] / 1e6, 1),
        "memory_ratio": round(memory["crosswire"] / memory["hftbacktest npz"], 3),
        "ratio_with_quotes": round(rate["with quotes"] / rate["hftbacktest mem"], 2),
        "crosswire_orders": results["crosswire"][-1]["orders"],
        "hftbacktest_orders": results["hftbacktest mem"][-1]["orders"],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
