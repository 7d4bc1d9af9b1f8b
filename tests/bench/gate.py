"""What the risk gate costs an order: `python -m tests.bench.gate [ROUNDS]`.

`check` is timed over batches of BATCH orders that alternate between buying and selling, ROUNDS batches each, with 2 and
with 256 instruments of one underlying, half of them inverse; the cost of reading the counter is taken off. A batch and
not an order, because the counter may move in steps of more than an order takes; `p99_ns` is that of the batches' means.

* `all`: every limit configured, one book to compare with, one open order of ours on either side of another price;
* `plain`: none but the required limits;
* each option alone, as what it adds to `plain`: `by_check` has the medians' difference.

Orders alternate, so both sides meet what is open, and self-trade prevention looks at the orders each time.
"""

import json
import sys
import time
from decimal import Decimal
from typing import Any

import numpy as np

from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Array, array, i64
from crosswire.nic.unit.call import compile_calls
from crosswire.nic.unit.compile import compiled
from crosswire.risk.gate import Gate, check
from crosswire.risk.limits import (
    LegRiskConfig,
    OrderToTradeConfig,
    RepeatedExecutionConfig,
    StrategyLimitsConfig,
)
from crosswire.venues.instrument import Kind
from crosswire.venues.order import Approval, Order, TimeInForce
from crosswire.venues.side import BUY, SELL
from tests.bench.tick_to_trade_stamps import cycles_at_start
from tests.support.gate_setup import NOW_NS, Setup

BATCH = 32
ROUNDS = 20_000
STEP_NS = 10_000  # between two orders: the token buckets never run empty
GOAL_P99_NS = 30
WIDE: dict[str, Any] = {
    "gross_max": Decimal(10**8),
    "net_max": Decimal(10**8),
    "delta_max": Decimal(10**8),
    "notional_max": Decimal(10**8),
    "account_gross_max": Decimal(10**8),
    "account_net_max": Decimal(10**8),
    "account_orders_per_second": 1_000_000,
    "account_burst": 1_000_000,
    "orders_per_second": 1_000_000,
    "burst": 1_000_000,
    "open_orders_max": 16,
    "book_age_max_ms": 86_400_000,
    "mark_age_max_ms": 86_400_000,
}
KINDS = (Kind.PERPETUAL, Kind.PERPETUAL, Kind.FUTURE)  # one book to compare with, however many there are
STRATEGY = StrategyLimitsConfig(notional_max=Decimal(10**6), loss_max=Decimal(10**6))
OPTIONS: dict[str, dict[str, Any]] = {
    "price_band": {"price_band_bps": Decimal(100)},
    "self_trade": {"self_trade_prevention": True},
    "order_to_trade": {
        "order_to_trade": OrderToTradeConfig(messages_per_fill_max=1, messages_min=10**9, window_ms=1000)
    },
    "repeated_execution": {"repeated_execution": RepeatedExecutionConfig(fills_max=32, window_ms=1)},
    "strategy": {"strategies": (STRATEGY, None)},
    "dead_man": {"dead_man_ms": 86_400_000},
    "leg_risk": {
        "leg_risk": LegRiskConfig(unhedged_max=Decimal(10**6), hedged_within=Decimal(10**6), unhedged_ms_max=86_400_000)
    },
    "realised_loss": {"realised_loss_max": Decimal(10**6)},
}


@compiled
def run_checks(gate: Gate, approval: Approval, order: Order, costs: Array, rounds: int, now_ns: int) -> int:
    """Time `rounds` batches, in cycles; return how many orders passed."""
    passed = gate.passed
    for number in range(rounds):
        began = cycles_at_start()
        for position in range(BATCH):
            order.client_order_id += 1
            order.side = position & 1
            check(gate, approval, order, now_ns)
            now_ns += STEP_NS
        costs[number] = cycles_at_start() - began
    return gate.passed - passed


@compiled
def run_nothing(order: Order, costs: Array, rounds: int, now_ns: int) -> int:
    """Time the same batches without the check."""
    for number in range(rounds):
        began = cycles_at_start()
        for position in range(BATCH):
            order.client_order_id += 1
            order.side = position & 1
            now_ns += STEP_NS
        costs[number] = cycles_at_start() - began
    return now_ns


def ns_a_cycle() -> float:
    cycles, began_ns = cycle_count(), time.perf_counter_ns()
    time.sleep(0.2)
    return (time.perf_counter_ns() - began_ns) / (cycle_count() - cycles)


def measure(instruments: int, options: dict[str, Any], rounds: int, rate: float) -> tuple[float, float]:
    """p50 and p99 of a check, ns."""
    setup = Setup(instruments=instruments, venues=2, kinds=KINDS, **(WIDE | options))
    setup.gate.alive_ns = NOW_NS
    setup.hold(0, 1_000)
    setup.rest(0, BUY, 995, 5)
    setup.rest(0, SELL, 1005, 5)
    order = Order(instrument=0, time_in_force=TimeInForce.IOC, price_ticks=1000, qty_lots=5)
    costs, empty = array(i64, rounds), array(i64, rounds)
    now_ns = NOW_NS
    for _ in range(2):  # the first warms up
        passed = run_checks(setup.gate, setup.approval, order, costs, rounds, now_ns)
        now_ns += rounds * BATCH * STEP_NS
        if passed != rounds * BATCH:
            raise RuntimeError(f"{passed} of {rounds * BATCH} orders passed: {list(setup.gate.vetoes)}")
        run_nothing(order, empty, rounds, now_ns)
    times = (costs.numpy() - np.median(empty.numpy())) * rate / BATCH
    return float(np.percentile(times, 50)), float(np.percentile(times, 99))


def main(rounds: int) -> None:
    compile_calls()
    rate = ns_a_cycle()
    every: dict[str, Any] = {key: value for option in OPTIONS.values() for key, value in option.items()}
    figures: dict[str, Any] = {"name": "gate", "goal_p99_ns": GOAL_P99_NS}
    by_check: dict[str, float] = {}
    print(f"{'instruments':>11} {'limits':20} {'p50 ns':>8} {'p99 ns':>8}")
    for instruments in (2, 256):
        plain_ns = 0.0
        for name, options in {"plain": {}, "all": every, **(OPTIONS if instruments == 2 else {})}.items():
            p50_ns, p99_ns = measure(instruments, options, rounds, rate)
            print(f"{instruments:11} {name:20} {p50_ns:8.1f} {p99_ns:8.1f}", flush=True)
            if name == "plain":
                plain_ns = p50_ns
            if name in ("plain", "all"):
                figures[f"{name}_{instruments}"] = {"p50_ns": round(p50_ns, 1), "p99_ns": round(p99_ns, 1)}
            else:
                by_check[name] = round(p50_ns - plain_ns, 1)
    worst = figures["all_256"]
    print(json.dumps({**figures, **worst, "by_check": by_check}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
