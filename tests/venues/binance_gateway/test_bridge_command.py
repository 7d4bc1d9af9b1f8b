"""`crosswire bridge binance` as a process: bad input is one line, and a signal ends it in order."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.bridge_reader import BridgeReader
from tests.support.stand_in import exchange, made

pytestmark = pytest.mark.binance

GOOD = {
    "name": '"b"',
    "feed.address": '"127.0.0.1:6200"',
    "feed.source": '"127.0.0.1"',
    "spot.symbols": '["BTCUSDT"]',
}


def toml(**changes: str) -> str:
    """A configuration in dotted keys; "" leaves a key out."""
    keys = GOOD | {key.replace("__", "."): value for key, value in changes.items()}
    return "\n".join(f"{key} = {value}" for key, value in keys.items() if value)


def start(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crosswire.engine.cli", "bridge", "binance", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spot__symbol": '["X"]'}, "spot: object contains unknown field `symbol`: did you mean `symbols`?"),
        ({"name": '"../x"'}, "name = '../x': a name is letters"),
        ({"spot__symbols": ""}, "no market: give at least one of the tables [spot], [usdm], [coinm]"),
        ({"spot__symbols": '["btcusdt"]'}, "spot.symbols = btcusdt: must be as the venue writes it"),
        ({"spot__symbols": '["BTCUSDT", "BTCUSDT"]'}, "spot.symbols: needs symbols, each once"),
        ({"spot__rest": '"api.binance.com"'}, "spot.rest = api.binance.com: must be a host and a port"),
        ({"spot__rest": '"https://u:p@x:1"'}, "spot.rest: must be a host and a port"),
        ({"feed__address": '"x:1"'}, "feed.address = x:1: must be an IPv4 address and a port"),
        ({"feed__source": '"192.0.2.77"'}, "feed: can't send from 192.0.2.77 to 127.0.0.1:6200"),
        ({"spot__protocol": '"sbe"'}, 'spot.key_file: protocol = "sbe" needs it'),
        ({"spot__protocol": '"sbe"', "spot__key_file": '"none.toml"'}, "none.toml: credentials can't be read"),
        ({"ca_file": '"none.pem"'}, "none.pem: can't be read: No such file"),
        ({"usdm__symbols": '["BTCUSDT"]', "usdm__snapshot_levels": "5000"}, "the futures give 1,000 at most"),
    ],
)
def test_bad_input_is_one_line(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_text(toml(**changes))
    process = start(path)
    _, errors = process.communicate(timeout=120)
    told = [line for line in errors.splitlines() if "compil" not in line]
    assert process.returncode == 1
    assert len(told) == 1
    assert said in told[0]


def test_sigterm_ends_it_in_order_and_readers_lose_their_books_at_once(tmp_path: Path) -> None:
    reader = BridgeReader()
    with exchange(tmp_path, made("spot")) as stand_in:
        path = tmp_path / "bridge.toml"
        path.write_text(
            toml(
                feed__address=f'"{reader.address}"',
                ca_file=f'"{stand_in.authority}"',
                spot__rest=f'"{stand_in.address("spot_rest")}"',
                spot__stream=f'"{stand_in.address("spot_stream")}"',
                recording__folder='"rec"',
            )
        )
        process = start(path)
        reader.until(lambda: reader.is_valid(0), 120.0)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        output, errors = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
        reader.until(lambda: not reader.is_valid(0))
    lines = output.splitlines()
    assert process.returncode == 0
    assert "compil" in errors or not errors
    assert any("book proven by a snapshot" in line for line in lines)
    assert any("counted: 1 spot.BTCUSDT books published whole" in line for line in lines)
    assert lines[-1].endswith("bridge: ended")
    (recording,) = (tmp_path / "rec").glob("*.txt")
    assert recording.read_bytes().endswith(b"\n")
    reader.close()


def test_a_symbol_that_there_is_not_ends_it_at_once(tmp_path: Path) -> None:
    with exchange(tmp_path, made("spot")) as stand_in:
        path = tmp_path / "bridge.toml"
        rest = f'"{stand_in.address("spot_rest")}"'
        path.write_text(toml(spot__symbols='["NOSUCH"]', ca_file=f'"{stand_in.authority}"', spot__rest=rest))
        process = start(path)
        _, errors = process.communicate(timeout=120)
    told = [line for line in errors.splitlines() if "compil" not in line]
    assert (process.returncode, len(told)) == (1, 1)
    assert told[0].startswith("crosswire: spot.symbols: ")
