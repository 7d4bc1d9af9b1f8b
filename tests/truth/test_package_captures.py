"""Frames, first and last time of other people's captures, as `inspect` tells them, against Wireshark's capinfos."""

import shutil
import struct
from collections import Counter
from pathlib import Path

import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.support.captures import T0, pcap, udp_frame
from tests.support.paths import RECORDINGS
from tests.truth import capture_figures
from tests.truth.capture_figures import Judgement, Told, judge
from tests.truth.package_captures import PACKAGES, Package, captures_folder, captures_of

AGREEING_MIN = 100
pytestmark = [
    pytest.mark.truth,
    pytest.mark.skipif(NO_JIT, reason="hundreds of captures take minutes uncompiled"),
    pytest.mark.skipif(not shutil.which("capinfos"), reason="needs capinfos, of Debian's wireshark-common"),
]
fetched = pytest.mark.skipif(
    not all(captures_folder(package).is_dir() for package in PACKAGES),
    reason="needs the captures: `python -m tests.truth.package_captures fetch` gets them",
)


def wrong_among(judged: dict[Path, Told]) -> dict[str, str]:
    return {path.name: told.reason for path, told in judged.items() if told.judgement == Judgement.WRONG}


@fetched
@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=[package.name for package in PACKAGES])
def test_captures_of_a_package_agree_or_what_parts_them_is_told(package: Package) -> None:
    judged = judge(captures_of(package))
    assert wrong_among(judged) == {}
    if package == PACKAGES[0]:
        assert Counter(told.judgement for told in judged.values())[Judgement.AGREES] >= AGREEING_MIN


def test_recordings_agree_or_what_parts_them_is_told() -> None:
    captures = sorted(path for path in RECORDINGS.parent.rglob("*.pcap*") if path.is_file())
    if not captures:
        pytest.skip(f"no captures below {RECORDINGS.parent}")
    assert wrong_among(judge(captures)) == {}


@pytest.mark.parametrize("fault", ["none", "count", "time"])
def test_a_difference_that_is_not_told_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The judge is no rubber stamp: the same file with one figure of ours falsified."""
    capture = tmp_path / "whole.pcap"
    capture.write_bytes(pcap([(T0 + n, udp_frame(struct.pack("<I", n))) for n in range(5)]))
    inspect_captures = capture_figures.inspect_captures

    def falsified(paths: list[Path], feed: str) -> dict[str, object]:
        ours = inspect_captures(paths, feed)
        ours["capture"]["records"] -= fault == "count"
        ours["capture"]["frames"] -= fault == "count"
        ours["last_time_ns"] += fault == "time"
        return ours

    monkeypatch.setattr(capture_figures, "inspect_captures", falsified)
    assert judge([capture])[capture].judgement == (Judgement.AGREES if fault == "none" else Judgement.WRONG)
