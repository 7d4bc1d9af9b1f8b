"""The offset and drift of a recording host's clock, estimated from recordings that are off by known amounts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crosswire.venues.adapter import ClockCorrection
from crosswire.venues.bridge.binance.importer import ImportOptions, ImportSummary, import_binance, import_file
from crosswire.venues.bridge.binance.text import RecordingError
from tests.support.paths import recording

START_NS = 1_772_000_000_000_000_000
SECONDS = 240
MESSAGES = 4_000
FLOOR_NS = 1_500_000
SEEDS = 200

Delays = Callable[[np.random.Generator], NDArray[np.float64]]
DELAYS: dict[str, Delays] = {
    "exponential": lambda random: random.exponential(2e6, MESSAGES),
    "gamma": lambda random: random.gamma(2, 1e6, MESSAGES),
    "log-normal": lambda random: random.lognormal(np.log(8e5), 1, MESSAGES),
}


class Made:
    """One recording whose host's clock is off by what is known."""

    def __init__(self, folder: Path, seed: int, delays: Delays) -> None:
        random = np.random.default_rng(seed)
        self.offset_ns = int(random.integers(-3_000_000_000, 3_000_000_000))  # at START_NS
        self.drift_ppb = int(random.integers(-50_000, 50_000))
        sent = np.sort(random.integers(0, SECONDS * 10**9, MESSAGES))
        delay = FLOOR_NS + delays(random)
        delay[random.random(MESSAGES) < 0.02] += 2e8  # a stall now and then
        received = np.sort(sent + delay.astype(np.int64))
        # What the host's clock shows when it should show `received`: the correction is of the clock shown.
        local = received - self.offset_ns - (received * self.drift_ppb) // 10**9
        self.path = folder / f"{seed}.txt"
        depth = '{{"e":"trade","E":{0},"T":{0},"s":"BTCUSDT","t":{1},"p":"1.0","q":"1","X":"MARKET","m":true}}'
        lines = [
            f"{START_NS + int(at)} {depth.format((START_NS + int(by)) // 10**6, number)}\n"
            for number, (at, by) in enumerate(zip(local, sent, strict=True))
        ]
        self.path.write_text("".join(lines))

    def true_offset_ns(self, clock: ClockCorrection) -> float:
        """What should be added when the host's clock shows `clock.reference_ns`."""
        shown = clock.reference_ns - START_NS
        return self.offset_ns + (shown + self.offset_ns) * self.drift_ppb / 1e9


def estimated(made: Made, folder: Path, floor_ns: int = FLOOR_NS) -> ImportSummary:
    options = ImportOptions(clock_offset_ns=None, delay_floor_ns=floor_ns)
    return import_file(made.path, folder / "out.pcap", options)


@pytest.mark.parametrize("name", DELAYS)
def test_the_error_bar_covers_the_truth(name: str, tmp_path: Path) -> None:
    offsets = drifts = 0
    errors_ns = []
    for seed in range(SEEDS):
        made = Made(tmp_path, seed, DELAYS[name])
        clock = estimated(made, tmp_path).clock
        error_ns = abs(clock.offset_ns - made.true_offset_ns(clock))
        offsets += error_ns <= clock.offset_error_ns
        drifts += abs(clock.drift_ppb - made.drift_ppb) <= clock.drift_error_ppb
        errors_ns.append((error_ns, clock.offset_error_ns, clock.drift_error_ppb))
        made.path.unlink()
    assert offsets >= 0.95 * SEEDS
    assert drifts >= 0.95 * SEEDS
    # A bar that covers everything says nothing.
    assert np.median([bar for _, bar, _ in errors_ns]) < 1_500_000
    assert np.median([bar for *_, bar in errors_ns]) < 10_000


def shifted(path: Path, by_ns: int, drift_ppb: int) -> Path:
    """The same recording by a clock that is set forward by `by_ns` at START_NS, and drifts."""
    lines = []
    for line in path.read_text().splitlines(keepends=True):
        local, _, message = line.partition(" ")
        since = int(local) - START_NS
        lines.append(f"{START_NS + since + by_ns + since * drift_ppb // 10**9} {message}")
    other = path.with_name("shifted.txt")
    other.write_text("".join(lines))
    return other


def test_a_shift_between_two_recordings_is_found_exactly_whatever_the_floor(tmp_path: Path) -> None:
    made = Made(tmp_path, 1, DELAYS["gamma"])
    before = estimated(made, tmp_path, floor_ns=0).clock
    made.path = shifted(made.path, 123_456_789, 0)
    after = estimated(made, tmp_path, floor_ns=0).clock
    assert (before.offset_ns - after.offset_ns, before.drift_ppb) == (123_456_789, after.drift_ppb)


def test_a_drift_between_two_recordings_is_found_within_its_error(tmp_path: Path) -> None:
    made = Made(tmp_path, 1, DELAYS["gamma"])
    before = estimated(made, tmp_path, floor_ns=0).clock
    made.path = shifted(made.path, 0, 20_000)
    after = estimated(made, tmp_path, floor_ns=0).clock
    assert before.drift_ppb - after.drift_ppb == pytest.approx(20_000, abs=before.drift_error_ppb)
    moved_ns = (before.reference_ns - START_NS) * 20_000 // 10**9
    assert before.offset_ns - after.offset_ns == pytest.approx(moved_ns, abs=before.offset_error_ns)


def test_the_floor_is_not_to_be_told_from_the_offset(tmp_path: Path) -> None:
    made = Made(tmp_path, 2, DELAYS["gamma"])
    without, given = estimated(made, tmp_path, floor_ns=0).clock, estimated(made, tmp_path).clock
    assert given.offset_ns - without.offset_ns == FLOOR_NS
    assert given.offset_error_ns == without.offset_error_ns


def test_recordings_of_one_host_get_one_correction_that_leaves_none_sent_after_it_came(tmp_path: Path) -> None:
    names = [f"binance/{name}_20240808.gz" for name in ("spot/btcusdt", "usdm/btcusdt", "coinm/btcusd_perp")]
    auto = ImportOptions(clock_offset_ns=None)
    summaries = import_binance([recording(name) for name in names], tmp_path, auto)
    assert len({summary.clock for summary in summaries}) == 1
    # Spot is the nearest of the three; each alone would put the clock elsewhere, as far as its wire is longer.
    clock = summaries[0].clock
    assert clock.offset_ns == pytest.approx(1_274_400_000, abs=300_000)
    assert clock.drift_ppb == pytest.approx(5_100, abs=clock.drift_error_ppb)
    assert all(summary.sent_later < summary.lines / 1000 for summary in summaries)
    alone = import_file(recording(names[1]), tmp_path / "alone.pcap", auto).clock
    assert alone.drift_ppb == pytest.approx(clock.drift_ppb, abs=clock.drift_error_ppb + alone.drift_error_ppb)
    plain = import_file(recording(names[1]), tmp_path / "plain.pcap")
    assert plain.sent_later == plain.lines


def test_a_leap_does_not_mislead_the_estimate(tmp_path: Path) -> None:
    made = Made(tmp_path, 3, DELAYS["exponential"])
    lines = made.path.read_text().splitlines(keepends=True)
    leapt = lines[:]
    local, _, message = lines[1000].partition(" ")
    leapt[1000] = f"{int(local) - 30 * 86_400 * 10**9} {message}"
    leapt[2000] = lines[2000].replace(f":{str(START_NS)[:4]}", ":1999")  # of 2033
    before = estimated(made, tmp_path).clock
    made.path.write_text("".join(leapt))
    after = estimated(made, tmp_path)
    assert (after.clock_leaps, after.exchange_times_refused) == (1, 1)
    assert after.clock.offset_ns == pytest.approx(before.offset_ns, abs=before.offset_error_ns)
    assert after.clock.drift_ppb == pytest.approx(before.drift_ppb, abs=before.drift_error_ppb)


def test_without_the_exchanges_time_there_is_no_estimate(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text(f'{START_NS} {{"u":9,"s":"BTCUSDT","b":"500.00","B":"1","a":"500.01","A":"1"}}\n')
    with pytest.raises(RecordingError, match="no line has the exchange's time"):
        import_file(path, tmp_path / "out.pcap", ImportOptions(clock_offset_ns=None))
    assert [each.name for each in tmp_path.iterdir()] == ["in.txt"]
