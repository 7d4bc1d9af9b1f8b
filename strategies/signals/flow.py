"""How much the market has lately bought and sold: aggressors' lots, each worth half after a half-life."""

from decimal import Decimal
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.signals.share import balance_e9
from crosswire.venues.side import BUY

STEPS = 64  # of a half-life: a sum decays by whole steps, and the time that is left counts with the next
FACTOR_BITS = 20  # of a step's factor
LOT_BITS = 8  # of a lot's fraction that a sum keeps
HALF_LIFE_MIN_NS = 100_000  # steps are whole nanoseconds: the half-life is met within 0.1 %
FLOW_MAX = 1 << 42  # of a sum, in 2**-LOT_BITS lots: 2**34 lots; with a factor it stays below 2**63


class Flow(Struct):
    """Two decaying sums of one instrument, in 2**-LOT_BITS lots."""

    half_life_ns: i64
    until_ns: i64  # up to when the sums have decayed
    bought: i64
    sold: i64
    factors: Annotated[Array, i64, STEPS]  # 2 ** (-step / STEPS), 2**-FACTOR_BITS


def set_flow(flow: Flow, half_life_ns: int) -> None:
    """Begin with nothing; ValueError below HALF_LIFE_MIN_NS."""
    if half_life_ns < HALF_LIFE_MIN_NS:
        raise ValueError(f"half_life_ns = {half_life_ns} must be at least {HALF_LIFE_MIN_NS}")
    flow.half_life_ns = half_life_ns
    flow.until_ns = flow.bought = flow.sold = 0
    for step in range(STEPS):
        # Decimal rather than float: the same digits with every C library.
        flow.factors[step] = int(Decimal(2) ** (FACTOR_BITS - Decimal(step) / STEPS))


@compiled
def decay(flow: Flow, now_ns: int) -> None:
    """Let time pass. What is reported lags by less than 1/STEPS of a half-life, 1.1 % of its size."""
    step_ns = flow.half_life_ns // STEPS
    steps = (now_ns - flow.until_ns) // step_ns
    if steps <= 0:
        return
    flow.until_ns += steps * step_ns
    halvings = min(steps // STEPS, 62)
    factor = flow.factors[steps % STEPS]
    flow.bought = (flow.bought * factor >> FACTOR_BITS) >> halvings
    flow.sold = (flow.sold * factor >> FACTOR_BITS) >> halvings


@compiled
def add_trade(flow: Flow, side: int, qty_lots: int, now_ns: int) -> None:
    """Take in a trade, as `on_trade` tells it; a sum beyond FLOW_MAX stays there."""
    decay(flow, now_ns)
    lots = min(max(0, qty_lots), FLOW_MAX >> LOT_BITS) << LOT_BITS
    if side == BUY:
        flow.bought = min(FLOW_MAX, flow.bought + lots)
    else:
        flow.sold = min(FLOW_MAX, flow.sold + lots)


@compiled
def net_lots(flow: Flow, now_ns: int) -> int:
    """Return what was bought less what was sold, in lots, rounded towards 0."""
    decay(flow, now_ns)
    net = flow.bought - flow.sold
    return net >> LOT_BITS if net >= 0 else -(-net >> LOT_BITS)


@compiled
def flow_balance_e9(flow: Flow, now_ns: int) -> int:
    """Return (bought - sold) / (bought + sold) in 1e-9, from -1e9 to 1e9; 0 without trades."""
    decay(flow, now_ns)
    return balance_e9(flow.bought, flow.sold)
