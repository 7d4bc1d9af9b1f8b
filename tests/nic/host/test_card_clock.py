"""A card's stamps are refused by name unless it stamps every frame, is told to, and its clock is at the host's time."""

import time
from pathlib import Path

import pytest

from crosswire.nic.duration import NS_PER_S, NS_PER_US
from crosswire.nic.host import card_clock
from crosswire.nic.host.card_clock import CARD_OFFSET_MAX_NS, check_card_clock, clock_offset_ns
from crosswire.nic.host.ethtool import Stamps, read_stamp_filter, read_stamps
from crosswire.nic.host.process import HostError

STAMPS_ALL = Stamps(0x7F, 0, 0x3)
EVERY_FRAME, PTP_ONLY = 1, 12  # HWTSTAMP_FILTER_ALL, HWTSTAMP_FILTER_PTP_V2_EVENT


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A card that may be used; no host of the tests has one."""
    monkeypatch.setattr(card_clock, "read_stamps", lambda _: STAMPS_ALL)
    monkeypatch.setattr(card_clock, "read_stamp_filter", lambda _: EVERY_FRAME)
    monkeypatch.setattr(card_clock, "DEVICE", str(tmp_path / "ptp{}"))
    monkeypatch.setattr(card_clock, "clock_offset_ns", lambda _: CARD_OFFSET_MAX_NS)
    (tmp_path / "ptp0").touch()


@pytest.mark.usefixtures("card")
def test_a_card_that_stamps_all_by_the_hosts_time_may_be_used() -> None:
    check_card_clock("eth9")


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("stamps", "why"),
    [
        (None, "the driver tells no timestamping"),
        (Stamps(0x1A, -1, 0), r"no clock \(PHC\)"),
        (Stamps(0x1A, 0, 3), "no hardware receive stamps"),
        (Stamps(0x7F, 0, 1 << PTP_ONLY), "not for every frame"),
    ],
)
def test_a_card_that_can_not_is_refused(monkeypatch: pytest.MonkeyPatch, stamps: Stamps | None, why: str) -> None:
    monkeypatch.setattr(card_clock, "read_stamps", lambda _: stamps)
    with pytest.raises(HostError, match=f'^eth9: hardware timestamps: {why}; set live.timestamps to "software"'):
        check_card_clock("eth9")


@pytest.mark.usefixtures("card")
def test_a_card_that_was_not_told_to_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_clock, "read_stamp_filter", lambda _: PTP_ONLY)
    with pytest.raises(HostError, match="not told to stamp every frame; `hwstamp_ctl -i eth9 -r 1`"):
        check_card_clock("eth9")


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("offset_ns", "told"), [(37 * NS_PER_S, r"\+37000000 us"), (-CARD_OFFSET_MAX_NS - 1, "-100 us")]
)
def test_a_clock_of_its_own_time_is_refused(monkeypatch: pytest.MonkeyPatch, offset_ns: int, told: str) -> None:
    monkeypatch.setattr(card_clock, "clock_offset_ns", lambda _: offset_ns)
    with pytest.raises(HostError, match=f"ptp0, is {told} from the host's; at most 100 us: have phc2sys"):
        check_card_clock("eth9")


@pytest.mark.usefixtures("card")
def test_what_is_no_clock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_clock, "clock_offset_ns", clock_offset_ns)
    with pytest.raises(HostError, match=r"hardware timestamps: .*ptp0: Invalid argument"):
        check_card_clock("eth9")
    monkeypatch.setattr(card_clock, "read_stamps", lambda _: Stamps(0x7F, 1, 0x3))
    with pytest.raises(HostError, match=r"hardware timestamps: .*ptp1: No such file or directory"):
        check_card_clock("eth9")


def test_clocks_are_told_apart() -> None:
    assert abs(clock_offset_ns(time.CLOCK_REALTIME)) < 50 * NS_PER_US
    expected_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - time.time_ns()
    assert abs(clock_offset_ns(time.CLOCK_MONOTONIC) - expected_ns) < NS_PER_S


def test_loopback_stamps_nothing() -> None:
    stamps = read_stamps("lo")
    assert stamps is not None
    assert stamps.lacks
    assert read_stamp_filter("lo") == 0
