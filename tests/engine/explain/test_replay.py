"""Goal: a replay gives every order again only from what the loop saw; what can't be replayed is said in one line."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crosswire.engine.cli import app
from crosswire.engine.explain.explain import explain_run, read_run
from crosswire.engine.explain.findings import Cause
from crosswire.engine.explain.reading import VenueCapture
from crosswire.engine.explain.replay import Sent
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.rings.tap import Note, read_note
from crosswire.risk.records import RecordKind
from tests.support.simulated_live import make_run_config, play_live, stand_still

MARKET, ORDERS = "bridge-000.pcap.zst", "bridge.orders-000.pcap.zst"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    play_live(folder / "run", make_run_config(folder))
    return folder / "run"


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "run"))


def rewrite(path: Path, frames: list[tuple[int, bytes]]) -> None:
    path.unlink()
    with CaptureWriter(path) as writer:
        for time_ns, frame in frames:
            writer.write(time_ns, frame)


def explained(run: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["explain", str(run), "--capture", str(run / "capture"), *map(str, options)])


def line_of(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return str(line)


def test_no_secret_is_in_the_capture_of_orders(run: Path) -> None:
    """The first messages of a session are its logon; of what the loop sent only orders and cancels are kept."""
    frames = list(read_frames([run / "capture" / ORDERS]))
    notes = [read_note(frame) for _, frame in frames]
    received = sum(note is not None and note.kind == Note.PLACE for note in notes)
    capture = VenueCapture(run / "capture", "bridge")
    assert len(capture.orders.received) == received > 0
    assert len(frames) - len([note for note in notes if note]) - received == len(capture.orders.sent)
    orders = explain_run(run).live.orders
    assert 0 < len(capture.orders.sent) <= orders + 10


@pytest.mark.parametrize("is_sent", [True, False], ids=["an order", "an answer"])
def test_what_was_changed_is_not_called_the_same(run: Path, is_sent: bool) -> None:
    path = run / "capture" / ORDERS
    frames = list(read_frames([path]))
    notes = [read_note(frame) for _, frame in frames]
    follows_place = [False, *(note is not None and note.kind == Note.PLACE for note in notes)]
    chosen = [at for at, note in enumerate(notes) if note is None and follows_place[at] != is_sent]
    changed = chosen[len(chosen) // 3]
    time_ns, frame = frames[changed]
    message = bytes(byte ^ 1 for byte in frame[TCP_FRAME_HEADER_BYTES:])
    frames[changed] = time_ns, frame[:TCP_FRAME_HEADER_BYTES] + message
    rewrite(path, frames)
    result = explained(run)
    assert result.exit_code == 1
    assert "NOT the same" in result.stdout


def test_market_data_that_is_missing_is_counted_and_nothing_is_called_proven(run: Path) -> None:
    path = run / "capture" / MARKET
    frames = list(read_frames([path]))
    rewrite(path, frames[:-100])
    result = explained(run, "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code in (0, 1)
    assert facts["replay"]["missing_frames"] == 100
    assert [each["venue"] for each in facts["findings"] if each["cause"] == "not_captured"] == ["bridge"]


def test_a_capture_of_another_run_is_refused(run: Path, kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    play_live(other, kept.parent / "run.toml")
    line = line_of(CliRunner().invoke(app, ["explain", str(run), "--capture", str(other / "capture")]))
    assert "is not of" in line
    assert "--capture" in line


def test_a_run_without_a_capture_says_what_to_do(run: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert "no such folder" in line_of(CliRunner().invoke(app, ["explain", str(run), "--capture", str(missing)]))
    (run / "capture" / ORDERS).unlink()
    assert "bridge.orders-000.pcap.zst" in line_of(explained(run))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "holds no journal" in line_of(explained(tmp_path))


def test_an_engine_that_stood_still_is_followed(kept: Path, tmp_path: Path) -> None:
    """Longer than a book may be old, and than its timers wait: what it judged by then comes again from the journal."""
    run = tmp_path / "run"
    play_live(run, kept.parent / "run.toml", [(1_500, stand_still(700)), (3_000, stand_still(1_900))])
    told = read_run(run)
    marks = [(each.fields["is_over"], each.time_ns) for each in told.of(RecordKind.STANDSTILL)]
    assert [is_over for is_over, _ in marks] == [0, 1, 0, 1]
    explained = explain_run(run, run / "capture")
    replayed = explained.replayed
    assert replayed.is_same
    (found,) = [each for each in explained.findings if each.cause == Cause.STOOD_STILL]
    assert (found.text, found.count) == ("for 700.0 ms", 2)
    assert all(each.sent for each in replayed.venues)
    between = [each.time_ns for each in told.of(RecordKind.ORDER_SENT) if marks[0][1] <= each.time_ns < marks[1][1]]
    assert between == []
    assert any(each.time_ns > marks[1][1] for each in told.of(RecordKind.ORDER_SENT))


def test_a_damaged_journal_is_explained_up_to_the_damage(run: Path) -> None:
    segments = sorted((run / "journal").glob("*.bin"))
    damaged = segments[len(segments) // 2]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    facts = json.loads(explained(run, "--json").stdout)
    (warning,) = facts["warnings"]
    assert warning["kind"] == "damaged journals"
    assert f"segment {int(damaged.stem)}" in warning["first_place"]
    assert facts["replay"]["is_same"]
    assert facts["replay"]["turns"] > 0


def test_a_run_that_was_killed_is_explained_as_far_as_it_goes(run: Path) -> None:
    segments = sorted((run / "journal").glob("*.bin"))
    for each in segments[len(segments) // 2 :]:
        each.unlink()
    facts = json.loads(explained(run, "--json").stdout)
    (warning,) = facts["warnings"]
    assert warning["kind"] == "runs that did not end by themselves"
    assert facts["replay"]["is_same"]
    assert all(each["orders_again"] > 0 for each in facts["replay"]["venues"])


def test_messages_are_compared_whole() -> None:
    sent = [(1, b"a"), (2, b"b")]
    assert Sent("x", sent, list(sent)).is_same
    assert not Sent("x", sent, sent[:1]).is_same
    assert not Sent("x", sent[:1], sent).is_same
    other = Sent("x", sent, [(1, b"a"), (2, b"c")])
    assert (other.is_same, other.same) == (False, 1)
