"""The live clock: close to the host's, never backwards, the same rate whatever it is calibrated with."""

import time

from crosswire.nic.clock import ClockKeeper, LiveClock, ReplayClock, advance, time_at
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.unit.compile import compiled


@compiled
def steps_back(clock: LiveClock, turns: int) -> int:
    """How often the clock went backwards."""
    back = 0
    last_ns = advance(clock, 0)
    for _ in range(turns):
        now_ns = advance(clock, 0)
        if now_ns < last_ns:
            back += 1
        last_ns = now_ns
    return back


def test_replay_clock_never_goes_back():
    clock = ReplayClock(now_ns=5)
    assert [advance(clock, 7), advance(clock, 6)] == [7, 7]


def test_live_clock_follows_the_host():
    clock = LiveClock()
    keeper = ClockKeeper(clock)
    for _ in range(5):
        time.sleep(0.02)
        keeper.keep(0.02)
    # A shared machine may take the core away between the two readings: far more than the error, far less than a fault.
    errors_ns = [abs(advance(clock, 0) - time.time_ns()) for _ in range(50)]
    assert min(errors_ns) < 5 * NS_PER_MS


def test_live_clock_never_goes_back_when_the_host_does():
    clock = LiveClock()
    keeper = ClockKeeper(clock)
    shown_ns = advance(clock, 0)
    calibration = clock.calibrations[clock.current]
    calibration.time_ns -= 10 * 1000 * NS_PER_MS  # as if the host's clock had been set back by ten seconds
    assert advance(clock, 0) == shown_ns
    assert steps_back(clock, 1000) == 0
    assert abs(keeper.keep()) > 5 * 1000 * NS_PER_MS


def test_a_new_calibration_goes_on_where_the_old_one_stood():
    clock = LiveClock()
    keeper = ClockKeeper(clock)
    for _ in range(20):
        old = clock.calibrations[clock.current]
        keeper.keep(0.1)
        new = clock.calibrations[clock.current]
        assert new.cycles != old.cycles
        spare = LiveClock(current=0)
        for name in ("cycles", "time_ns", "rate"):
            setattr(spare.calibrations[0], name, getattr(old, name))
        assert time_at(spare, new.cycles) == new.time_ns
