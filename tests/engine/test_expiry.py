"""When a future expires: from the configuration, or, where that leaves it out, from what its captures define."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crosswire.engine.build.definitions import check_definitions
from crosswire.engine.build.market import make_market
from crosswire.engine.config import ConfigError, ignoring_definitions, load_config
from crosswire.engine.generate import generate_captures
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.wire.layout import InstrumentDefinition
from crosswire.venues.instrument import Kind
from tests.support.command import ask
from tests.support.paths import ROOT

SYMBOL = b"BTCUSDT"
PLACE = InstrumentDefinition.fields["symbol"].offset
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_future(frame: bytes, expiry_ns: int) -> bytes:
    """Make the perpetual that a frame defines a future."""
    changed = bytearray(frame)
    for match in re.finditer(SYMBOL, frame):
        start = match.start() - PLACE
        for name, value in (("kind", Kind.FUTURE), ("expiry_ns", expiry_ns)):
            field = InstrumentDefinition.fields[name]
            changed[start + field.offset : start + field.offset + field.size] = value.to_bytes(field.size, "little")
    return bytes(changed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Four seconds of the default data, the bridge's instrument a future that expires after two, and the time."""
    folder = tmp_path_factory.mktemp("run")
    data = folder / "data" / "synthetic"
    generate_captures(data, seed=1, seconds=4)
    frames = list(read_frames([data / "bridge.pcap"]))
    expiry_ns = frames[0][0] // 1_000_000_000 * 1_000_000_000 + 2_000_000_000
    with CaptureWriter(data / "future.pcap") as writer:
        for time_ns, frame in frames:
            writer.write(time_ns, as_future(frame, expiry_ns))
    shutil.move(data / "future.pcap", data / "bridge.pcap")
    return folder, expiry_ns


@pytest.fixture
def write(made: tuple[Path, int]) -> Callable[..., Path]:
    """Write the default example with a future in place of the perpetual; `more` is another line of its table."""

    def write_config(more: str = "") -> Path:
        text = (ROOT / "examples" / "synthetic.toml").read_text().replace("seconds = 120", "seconds = 4")
        before, name, after = text.partition('symbol = "BTCUSDT"\n')
        path = made[0] / "examples" / "run.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(before + name + more + after.replace('kind = "perpetual"', 'kind = "future"', 1))
        return path

    return write_config


def expiries(path: Path) -> list[int]:
    market, _ = make_market(check_definitions(load_config(path), path)[0])
    return [market.instruments[index].expiry_ns for index in range(market.count)]


def test_it_is_as_the_capture_defines_it_unless_that_is_ignored(
    made: tuple[Path, int], write: Callable[..., Path]
) -> None:
    path = write()
    assert expiries(path) == [0, made[1]]
    config, warnings = check_definitions(ignoring_definitions(load_config(path)), path)
    assert (config.venue[1].instrument[0].expiry, warnings) == (None, [])


def test_the_configured_one_is_held_against_the_capture(made: tuple[Path, int], write: Callable[..., Path]) -> None:
    right = EPOCH + timedelta(microseconds=made[1] // 1000)
    assert expiries(write(f"expiry = {right.isoformat()}\n")) == [0, made[1]]
    wrong = right + timedelta(hours=1)
    path = write(f"expiry = {wrong.isoformat()}\n")
    said = f"the capture says expiry {right.isoformat()}, you say {wrong.isoformat()}"
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_definitions(load_config(path), path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("expiry = 2026-12-25T08:00:00\n", "bridge/BTCUSDT: expiry = 2026-12-25 08:00:00: say its time zone, as in"),
        ("expiry = 2026-12-25\n", "expiry"),
        ('expiry = "soon"\n', "expiry"),
    ],
)
def test_what_is_no_time_is_one_line(write: Callable[..., Path], line: str, said: str) -> None:
    path = write(line)
    with pytest.raises(ConfigError) as caught:
        make_market(load_config(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_perpetual_has_none(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    path = tmp_path / "run.toml"
    path.write_text(text.replace('symbol = "BTCUSDT"\n', 'symbol = "BTCUSDT"\nexpiry = 2026-12-25T08:00:00Z\n'))
    with pytest.raises(ConfigError, match="a perpetual has none"):
        make_market(load_config(path))


@pytest.mark.slow
def test_what_is_held_then_is_delivered(made: tuple[Path, int], write: Callable[..., Path]) -> None:
    """A run over it: what is held at expiry is settled, and the venue's definition is all that says when."""
    code, lines, errors = ask("backtest", write(), "--json", "--no-report", "-o", made[0] / "runs")
    assert code == 0, errors
    summary = json.loads("\n".join(lines))
    kinds = {each["kind"] for each in summary["warnings"]}
    assert "futures settled at their own mid, not the index" in kinds
    assert "delivery" in summary["pnl"]["USDT"]["charges_by_kind"]
