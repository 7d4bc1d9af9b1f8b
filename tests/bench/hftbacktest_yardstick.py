"""The yardstick: a two-venue arbitrage in hftbacktest 2.4.4. Runs in that package's own environment (see yardstick.py).

    hftbacktest_yardstick.py convert {spot,usdm} IN.gz OUT.npz     its converter over a recorded Binance stream
    hftbacktest_yardstick.py tile IN.npz OUT TILES SHIFT_S         OUT.npz and OUT.npy: the rows TILES times over
    hftbacktest_yardstick.py run FOLDER {roi,hash} {mem,npz}       one measured backtest; prints one JSON line

`run` reads {usdm,spot}_warm.npz, to compile on, and {usdm,spot}_tiled.npz (npz: opened and inflated by hftbacktest
itself, inside the measured time) or .npy (mem: in memory before the measured time). The strategy reads both best prices
at every feed event and sends an IOC pair when the spread is above SPREAD_USDT, at most once in REST_EVENTS events.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from numba import njit

IMPORTED_NS = time.time_ns()

MARKETS = {"usdm": (0.1, 0.001), "spot": (0.01, 0.00001)}  # tick and lot, in the order of the backtest's assets
SPREAD_USDT = 12.0
REST_EVENTS = 200
LATENCY_NS = 1_000_000  # of orders, each way
PRICE_RANGE = (30_000.0, 90_000.0)  # what the range-of-interest book can see
WARM_ROWS = 20_000
CLOCK_LAG_MS = 1_270  # the recording host's clock against the exchanges'
IOC = 3
LIMIT = 0
NEXT_EVENT = 2
FOREVER_NS = 10_000_000_000_000


@njit
def trade_spread(backtest, spread, rest_events):
    events = 0
    orders = 0
    resting_until = 0
    while backtest.wait_next_feed(False, FOREVER_NS) == NEXT_EVENT:
        events += 1
        backtest.clear_last_trades(0)
        backtest.clear_last_trades(1)
        bid_0 = backtest.depth(0).best_bid
        ask_0 = backtest.depth(0).best_ask
        bid_1 = backtest.depth(1).best_bid
        ask_1 = backtest.depth(1).best_ask
        if events < resting_until:
            continue
        if bid_1 - ask_0 > spread:
            backtest.submit_buy_order(0, orders + 1, ask_0, 0.001, IOC, LIMIT, False)
            backtest.submit_sell_order(1, orders + 2, bid_1, 0.001, IOC, LIMIT, False)
        elif bid_0 - ask_1 > spread:
            backtest.submit_sell_order(0, orders + 1, bid_0, 0.001, IOC, LIMIT, False)
            backtest.submit_buy_order(1, orders + 2, ask_1, 0.001, IOC, LIMIT, False)
        else:
            continue
        orders += 2
        resting_until = events + rest_events
        backtest.clear_inactive_orders(0)
        backtest.clear_inactive_orders(1)
    return events, orders


def complete_spot_line(line: bytes) -> bytes:
    """hftbacktest has no converter for Binance spot: its USD-M one works once the fields that spot lacks are there."""
    local_ns, _, text = line.partition(b" ")
    message = json.loads(text)
    data = message.get("data", message)
    kind = data.get("e")
    if kind == "depthUpdate":
        data["T"] = data["E"]
    elif kind == "trade":
        data["X"] = "MARKET"
    elif "lastUpdateId" in data:
        data["T"] = int(local_ns) // 1_000_000 + CLOCK_LAG_MS
    else:
        data["e"] = "bookTicker"
    return local_ns + b" " + json.dumps(message).encode() + b"\n"


def convert(market: str, source: str, target: str) -> None:
    from hftbacktest.data.utils import binancefutures

    if market == "spot":
        completed = target + ".lines.gz"
        with gzip.open(source, "rb") as lines, gzip.open(completed, "wb", 1) as out:
            out.writelines(complete_spot_line(line) for line in lines)
        source = completed
    started = time.perf_counter()
    rows = binancefutures.convert(source, target, base_latency=0, buffer_size=2_000_000)
    print(json.dumps({"market": market, "rows": len(rows), "convert_s": round(time.perf_counter() - started, 3)}))


def tile(source: str, target: str, tiles: int, shift_s: int) -> None:
    day = np.load(source)["data"]
    rows = np.tile(day, tiles)
    shift_ns = np.repeat(np.arange(tiles, dtype=np.int64) * shift_s * 1_000_000_000, len(day))
    rows["exch_ts"] += shift_ns
    rows["local_ts"] += shift_ns
    np.savez_compressed(target + ".npz", data=rows)
    np.save(target + ".npy", rows)
    np.savez_compressed(target.removesuffix("_tiled") + "_warm.npz", data=day[:WARM_ROWS])


def build(data: list, depth: str):
    assets = [
        BacktestAsset()
        .linear_asset(1.0)
        .data(rows)
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(-0.00005, 0.0005)
        .tick_size(tick)
        .lot_size(lot)
        .last_trades_capacity(1000)
        .roi_lb(PRICE_RANGE[0])
        .roi_ub(PRICE_RANGE[1])
        for rows, (tick, lot) in zip(data, MARKETS.values(), strict=True)
    ]
    return (ROIVectorMarketDepthBacktest if depth == "roi" else HashMapMarketDepthBacktest)(assets)


def peak_memory_bytes() -> int:
    """High-water mark of this process alone: getrusage's would include the parent's from before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def run(folder: Path, depth: str, source: str) -> None:
    warm = build([[str(folder / f"{market}_warm.npz")] for market in MARKETS], depth)
    trade_spread(warm, SPREAD_USDT, REST_EVENTS)
    warm.close()
    ready_ns = time.time_ns()
    rows = sum(np.load(folder / f"{market}_tiled.npy", mmap_mode="r").shape[0] for market in MARKETS)
    load_started = time.perf_counter()
    if source == "mem":
        data = [np.load(folder / f"{market}_tiled.npy") for market in MARKETS]
    else:
        data = [[str(folder / f"{market}_tiled.npz")] for market in MARKETS]
    run_started, cpu_started = time.perf_counter(), time.process_time()
    backtest = build(data, depth)
    events, orders = trade_spread(backtest, SPREAD_USDT, REST_EVENTS)
    run_s, cpu_s = time.perf_counter() - run_started, time.process_time() - cpu_started
    result = {
        "depth": depth,
        "source": source,
        "rows": rows,
        "events": events,
        "orders": orders,
        "run_s": run_s,
        "cpu_s": cpu_s,
        "load_s": run_started - load_started,
        "rows_per_s": rows / run_s,
        "rows_per_cpu_s": rows / cpu_s,
        "import_s": (IMPORTED_NS - int(os.environ["YARDSTICK_STARTED_NS"])) / 1e9,
        "start_s": (ready_ns - int(os.environ["YARDSTICK_STARTED_NS"])) / 1e9,
        "peak_memory_bytes": peak_memory_bytes(),
        "positions": [backtest.position(asset) for asset in range(len(MARKETS))],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["convert", market, source, target]:
            convert(market, source, target)
        case ["tile", source, target, tiles, shift_s]:
            tile(source, target, int(tiles), int(shift_s))
        case ["run", folder, depth, source]:
            run(Path(folder), depth, source)
        case _:
            sys.exit(__doc__)
