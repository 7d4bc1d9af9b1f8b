"""`crosswire bench tick-to-trade` measures what it says: every trigger once, every order answered, nothing vetoed."""

import os
import sys

import numpy as np
import pytest

from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.session import (
    SessionState,
)
from tests.bench.tick_to_trade import STAGES, budget, build_rig, percentiles, problems, run_rig
from tests.bench.tick_to_trade_stamps import LEGS, MARKS

TRIGGERS = 200


@pytest.fixture
def quick_switches():
    """Two threads that spin under the interpreter lock must hand it over often."""
    before = sys.getswitchinterval()
    if NO_JIT:
        sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("leg", range(1, LEGS + 1))
def test_every_trigger_is_measured_and_every_order_answered(leg, quick_switches):
    cores = os.sched_getaffinity(0)
    rig = build_rig(TRIGGERS, leg, False)
    try:
        run_rig(rig, max(cores), min(cores), False)
        assert problems(rig) == []
        latencies = rig.stamps.latencies.numpy()
        assert rig.stamps.count == len(latencies) == TRIGGERS
        assert (latencies > 0).all()
        assert rig.orders == {"FILLED": LEGS * TRIGGERS}
        assert [part.session.state for part in rig.run.parts] == [SessionState.READY] * 2
        held = [rig.run.engine.seats[0].desk.positions[number].position_lots for number in range(2)]
        assert held == [each.gateway.position_lots[each.number] for each in rig.exchanges.items]
        assert sum(held) == 0
    finally:
        rig.close()


def test_percentiles_are_exact():
    assert percentiles(np.arange(1000, 0, -1)) == {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}


def test_budget_accounts_for_every_interval_once():
    borders = np.cumsum([0, 10, 20, 5, 12, 3, 40, 30, 15, 25, 16])
    rows = np.tile(borders, (9, 1))
    assert rows.shape[1] == MARKS
    parts = budget(rows, 0.0)
    assert parts == {"decode": 30, "book": 7, "signal": 40, "risk": 50, "frame": 31, "loop and ring": 8}
    assert tuple(parts) == STAGES
    # The two walks more are not part of the line.
    assert sum(parts.values()) == borders[-1] - 2 * 5
