"""Send a list of orders and cancels to hftbacktest 2.4.4, in that package's own environment (tests/bench/yardstick.py).

    hftbacktest_fills.py INPUT.npz OUTPUT.npz QUEUE        QUEUE: risk_averse or power

INPUT has `events` (its own rows), `requests` (time, id, side, price in ticks, lots, time in force; lots 0: a cancel) in
order of time, `terms` (tick, lot) and `latencies_ns` (of orders, of responses). OUTPUT has `fills`: id, price in ticks,
lots, exchange time, as they can be read off its orders; and what it says of itself: `end` (return code, time).
"""

import sys

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.order import CANCELED, EXPIRED, FILLED, LIMIT, NONE, PARTIALLY_FILLED
from numba import njit

END_OF_DATA = 1
TIME, ID, SIDE, PRICE, LOTS, TIME_IN_FORCE = range(6)
OPEN_MAX = 1_024
FOREVER_NS = 1 << 62


@njit
def note_fills(backtest, open_ids, open_count, seen, fills, count, lot):
    """Note what has been executed of the open orders since they were looked at last; keep those that are still open."""
    kept = 0
    orders = backtest.orders(0)
    for place in range(open_count):
        number = open_ids[place]
        order = orders.get(np.uint64(number))
        executed = order.status == FILLED or order.status == PARTIALLY_FILLED
        if executed and (order.exch_timestamp != seen[place, 0] or order.leaves_qty != seen[place, 1]):
            fills[count, 0] = number
            fills[count, 1] = order.exec_price_tick
            fills[count, 2] = round(order.exec_qty / lot)
            fills[count, 3] = order.exch_timestamp
            count += 1
        if order.status != FILLED and order.status != EXPIRED and order.status != CANCELED:
            open_ids[kept] = number
            seen[kept, 0] = order.exch_timestamp
            seen[kept, 1] = order.leaves_qty
            kept += 1
    return kept, count


@njit
def run(backtest, requests, tick, lot, fills):
    """Send each request at its time; return the count of fills, the last return code and the time of it."""
    open_ids = np.zeros(OPEN_MAX, np.int64)
    seen = np.zeros((OPEN_MAX, 2))
    open_count = count = 0
    code = backtest.wait_next_feed(True, 1)  # its clock stands at the end of time before
    for number in range(len(requests) + 1):
        time_ns = requests[number, TIME] if number < len(requests) else FOREVER_NS
        while backtest.current_timestamp < time_ns:
            code = backtest.wait_next_feed(True, time_ns - backtest.current_timestamp)
            open_count, count = note_fills(backtest, open_ids, open_count, seen, fills, count, lot)
            if code != 0 and code != 2 and code != 3:
                return count, code, backtest.current_timestamp
        if number == len(requests):
            break
        request = requests[number]
        order_id, price = np.uint64(request[ID]), request[PRICE] * tick
        if request[LOTS] == 0:
            orders = backtest.orders(0)
            order = orders.get(order_id)
            if order.req == NONE:
                backtest.cancel(0, order_id, False)
            continue
        quantity, time_in_force = request[LOTS] * lot, np.uint8(request[TIME_IN_FORCE])
        if request[SIDE] == 0:
            backtest.submit_buy_order(0, order_id, price, quantity, time_in_force, LIMIT, False)
        else:
            backtest.submit_sell_order(0, order_id, price, quantity, time_in_force, LIMIT, False)
        open_ids[open_count] = request[ID]
        seen[open_count] = 0
        open_count += 1
    return count, code, backtest.current_timestamp


def main(source: str, target: str, queue: str) -> None:
    given = np.load(source)
    tick, lot = given["terms"]
    order_ns, response_ns = (int(latency) for latency in given["latencies_ns"])
    events = given["events"]  # hftbacktest reads them where they are: they must live as long as it does
    asset = BacktestAsset().linear_asset(1.0).data(events).constant_order_latency(order_ns, response_ns)
    asset = asset.risk_adverse_queue_model() if queue == "risk_averse" else asset.power_prob_queue_model(3.0)
    asset = asset.partial_fill_exchange().trading_value_fee_model(0.0, 0.0).tick_size(tick).lot_size(lot)
    backtest = HashMapMarketDepthBacktest([asset.last_trades_capacity(0)])
    requests = given["requests"]
    fills = np.zeros((100_000, 4), np.int64)
    count, code, time_ns = run(backtest, requests, tick, lot, fills)
    position = round(backtest.position(0) / lot)
    np.savez(target, fills=fills[:count], end=np.array([code, time_ns, position]))


if __name__ == "__main__":
    main(*sys.argv[1:])
