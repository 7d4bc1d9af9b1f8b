"""`crosswire new config --from`: what it writes passes the check and runs at once; what can't be read is one line."""

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.config import load_config
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.binance.importer import import_file
from tests.support.command import ask
from tests.support.disk import fill, small_disk
from tests.support.paths import ROOT, recording
from tests.support.short_run import two_seconds
from tests.support.starbase_captures import standing_alone, write_capture

TERMS = ("kind", "payoff", "tick", "lot", "contract", "base", "quote", "settlement", "underlying")
NOT_LIMITS = ("self_trade_prevention",)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of both generated venues."""
    return two_seconds(tmp_path_factory.mktemp("made"), 1).parent.parent / "data" / "synthetic"


def write(output: Path, *words: object) -> list[str]:
    """Write a configuration that passes the check; what was said beside."""
    status, lines, errors = ask("new", "config", "--from", *words, "--output", output)
    assert (status, lines[-2]) == (0, str(output)), errors
    assert ask("config", "check", output)[:2] == (0, [f"{output}: nothing is wrong"])
    return lines[:-2]


def run(config: Path) -> dict[str, Any]:
    """Backtest it; its summary."""
    status, lines, errors = ask("backtest", config, "--output", config.parent / "runs", "--no-report", "--json")
    assert status == 0, errors
    found: dict[str, Any] = json.loads("\n".join(lines))
    return found


def refused(*words: object) -> str:
    """What is said to captures that nothing can be made of: one line."""
    status, lines, errors = ask("new", "config", "--from", *words)
    assert (status, lines, len(errors.splitlines())) == (1, [], 1)
    return errors


def limits_in(text: str) -> list[str]:
    """The lines below headers of limits, parameters and the simulation."""
    found, is_limits = [], False
    for line in text.splitlines():
        if line.startswith("["):
            is_limits = "limits" in line or "parameters" in line or "simulation" in line
        elif " = " in line and is_limits and not line.startswith((*NOT_LIMITS, "instruments", "seed", "every", "lots")):
            found.append(line)
    return found


def test_what_both_generated_venues_define_is_what_their_example_has(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.toml"
    write(output, data / "deribit.pcap", data / "bridge.pcap")
    config, example = load_config(output), load_config(ROOT / "examples" / "synthetic.toml")
    assert config.name == "mine"
    for own, known in zip(config.venue, example.venue, strict=True):
        assert (own.name, own.feed) == (known.name, known.feed)
        for one, other in zip(own.instrument, known.instrument, strict=True):
            assert [getattr(one, name) for name in TERMS] == [getattr(other, name) for name in TERMS]
            assert one.limits.order_notional_max <= 2_000
            assert one.limits.position_max == 5 * one.limits.order_max
            assert one.limits.price_max > 60_000
    assert config.strategies[0].use == "cross_spread"
    assert config.strategies[0].parameters["instruments"] == ["deribit/BTC-PERPETUAL", "bridge/BTCUSDT"]
    assert len(limits_in(output.read_text())) > 40
    assert [line for line in limits_in(output.read_text()) if not line.endswith("yours?")] == []
    summary = run(output)
    assert summary["venues"]["deribit"]["packets"] > 0
    assert summary["orders_sent"] > 0


def test_captures_are_named_from_where_the_configuration_lies(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    output = tmp_path / "deep" / "mine.toml"
    write(output, "bridge.pcap")
    [name] = tomllib.loads(output.read_text())["venue"][0]["captures"]
    assert not Path(name).is_absolute()
    assert (output.parent / name).resolve() == (data / "bridge.pcap").resolve()


def test_one_instrument_alone_is_told_what_to_put_and_runs(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "one.toml"
    said = write(output, data / "bridge.pcap")
    assert any(line.startswith("strategy: no two instruments of one underlying") for line in said)
    assert "crosswire new strategy" in output.read_text()
    assert run(output)["orders_sent"] > 0


def test_parts_of_one_capture_are_one_venue(data: Path, tmp_path: Path) -> None:
    frames = list(read_frames([data / "bridge.pcap"]))
    later = frames[-1][0] - frames[0][0] + 1
    part = tmp_path / "part.pcap"
    with CaptureWriter(part) as writer:
        for time_ns, frame in frames:
            writer.write(time_ns + later, bytes(frame))
    output = tmp_path / "parts.toml"
    write(output, data / "bridge.pcap", part)
    [venue] = load_config(output).venue
    assert len(venue.captures) == 2


def test_imported_recordings_are_two_venues_named_after_their_captures(tmp_path: Path) -> None:
    for market in ("spot", "usdm"):
        import_file(recording(f"binance/{market}/btcusdt_20240808.gz"), tmp_path / f"{market}.pcap")
    output = tmp_path / "binance.toml"
    write(output, tmp_path / "spot.pcap", tmp_path / "usdm.pcap")
    config = load_config(output)
    assert [(venue.name, venue.instrument[0].kind) for venue in config.venue] == [
        ("spot", "spot"),
        ("usdm", "perpetual"),
    ]
    assert config.venue[1].instrument[0].taker_fee_bps == 5
    assert config.strategies[0].use == "cross_spread"
    assert run(output)["opportunities"]["count"] >= 0


def test_a_recorded_exchange_with_options(tmp_path: Path) -> None:
    output = tmp_path / "deribit.toml"
    said = write(output, recording("deribit/sample_capture_v1_6.pcapng"))
    assert any("left out, options and combinations: " in line for line in said)
    instruments = {each.symbol: each for each in load_config(output).venue[0].instrument}
    perpetual = instruments["BTC-PERPETUAL"]
    assert (perpetual.payoff, perpetual.tick, perpetual.lot) == ("inverse", Decimal("0.01"), 10)
    assert {each.kind for each in instruments.values()} == {"perpetual", "future", "spot"}
    assert output.read_text().count('settlement = "USDC"  # unknown: ') == 2
    assert all(each.expiry for each in instruments.values() if each.kind == "future")
    assert run(output)["frames"] > 5_000
    one = tmp_path / "one.toml"
    write(one, recording("deribit/sample_capture_v1_6.pcapng"), "--instrument", "BTC-PERPETUAL")
    assert [each.symbol for each in load_config(one).venue[0].instrument] == ["BTC-PERPETUAL"]
    said = refused(recording("deribit/sample_capture_v1_6.pcapng"), "--instrument", "NONE")
    assert "NONE: the captures have no such one with a book; they have BTC" in said, said


def test_what_a_venue_does_not_define_is_a_guess_that_says_so(tmp_path: Path) -> None:
    """A venue whose own orders can't be replayed: its captures take those of the exchange over captures."""
    config = tmp_path / "alone.toml"
    config.write_text(standing_alone(1))
    capture = tmp_path / "starbase.pcap"
    write_capture(config, capture)
    output = tmp_path / "starbase.toml"
    said = write(output, capture)
    assert any("do not tell contract, maker_fee, taker_fee" in line for line in said)
    assert output.read_text().count("# unknown: the captures do not tell it; yours?") == 6
    assert load_config(output).venue[0].orders == "bridge"
    run(output)


def test_a_capture_of_two_venues_is_refused(data: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.pcap"
    with CaptureWriter(mixed) as writer:
        for time_ns, frame in read_frames([data / "bridge.pcap", data / "deribit.pcap"]):
            writer.write(time_ns, bytes(frame))
    assert "it has messages of bridge" in refused(mixed)
    assert "and of deribit" in refused(mixed)


def test_what_no_feed_reads_is_told_by_its_ports() -> None:
    assert "UDP to port 46049 (512 packets)" in refused(recording("solana/demo-shreds.pcap"))
    assert "none defines an instrument" in refused(recording("deribit/price_index.pcapng"))


def test_a_capture_that_is_cut_off_is_read_as_far_as_it_goes(data: Path, tmp_path: Path) -> None:
    whole = (data / "bridge.pcap").read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[: len(whole) // 2 + 5])
    status, _, errors = ask("new", "config", "--from", cut, "--output", tmp_path / "cut.toml")
    assert status == 0
    assert "warning: " in errors
    assert "cut" in errors


def test_what_is_no_capture_and_what_is_there_already(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pcap").write_text("not one")
    assert str(tmp_path / "text.pcap") in refused(tmp_path / "text.pcap")
    assert "nowhere" in refused(tmp_path / "nowhere.pcap")
    assert "given twice" in refused(data / "bridge.pcap", data / "bridge.pcap")
    taken = tmp_path / "taken.toml"
    taken.write_text("mine")
    assert "exists already" in refused(data / "bridge.pcap", "--output", taken)
    assert "exists already" in refused(tmp_path / "text.pcap", "--output", taken)  # told before anything is read
    assert taken.read_text() == "mine"
    assert "named after the run" in refused(data / "bridge.pcap", "--output", tmp_path / "a b.toml")


def test_a_full_disk_leaves_nothing_half_written(data: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1) as folder:
        fill(folder)
        output = folder / "mine.toml"
        assert "No space left" in refused(data / "bridge.pcap", "--output", output)
        assert sorted(path.name for path in folder.iterdir()) == ["filler"]
        (folder / "filler").unlink()
        write(output, data / "bridge.pcap")
        assert sorted(path.name for path in folder.iterdir()) == ["mine.toml"]
