"""The live clock: close to the host's, never backwards, the same rate whatever it is calibrated with."""

import time

import pytest

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


class SetClock:
    """A host's clock that can be set, and a counter, both at hand; and their keeper."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cycles, self.offset_ns = 1 << 40, 1 << 60
        monkeypatch.setattr(ClockKeeper, "_read_both", lambda _: (self.cycles, self.host_ns()))
        self.clock = LiveClock()
        monkeypatch.setattr("time.sleep", self.wait)
        self.keeper = ClockKeeper(self.clock)

    def host_ns(self) -> int:
        return self.offset_ns + self.cycles // 3  # 3 GHz

    def wait(self, seconds: float) -> None:
        self.cycles += round(3e9 * seconds)

    def now_ns(self) -> int:
        return time_at(self.clock, self.cycles)

    def speed(self) -> float:
        """By how much the clock goes on in half a second, and is calibrated then."""
        before_ns = self.now_ns()
        self.wait(0.5)
        after_ns = self.now_ns()
        self.keeper.keep(0.5)
        assert self.now_ns() >= after_ns
        return (after_ns - before_ns) / 5e8


@pytest.mark.parametrize("before_s", [1, 60])
@pytest.mark.parametrize("step_ms", [-20_000, -129, -100, 100, 129, 20_000])
def test_a_host_whose_clock_is_set(monkeypatch: pytest.MonkeyPatch, step_ms: int, before_s: int) -> None:
    """Forward it is followed at once, back it is waited for, and the rate is not measured over the step."""
    host = SetClock(monkeypatch)
    for _ in range(2 * before_s):
        assert abs(host.speed() - 1) < 1e-6
    host.offset_ns += step_ms * NS_PER_MS
    assert abs(host.speed() - 1) < 1e-6  # nobody has looked yet
    if step_ms > 128:
        assert host.now_ns() == host.host_ns()
        assert abs(host.speed() - 1) < 1e-6
    elif step_ms < -128:
        for _ in range(-4 * step_ms // 1000 + 1):
            assert 0.499 < host.speed() < 1
        assert abs(host.now_ns() - host.host_ns()) < 128 * NS_PER_MS
    for _ in range(10):
        assert abs(host.speed() - 1) < 501e-6


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
