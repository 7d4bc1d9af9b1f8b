"""`crosswire exchange` and `live` with Starbase: orders over our own TCP, L3 market data, both sides' accounts."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from crosswire.engine.explain.explain import read_run
from crosswire.engine.explain.replay import Replay, open_capture
from crosswire.engine.journal.decode import records_of, turns_of
from crosswire.engine.journal.show import Filter, parse_kinds, show_records
from crosswire.engine.state import turn_order
from crosswire.nic.journal.reader import read_journal
from crosswire.nic.rings.replay import read_frames
from crosswire.risk.records import RecordKind
from tests.support.live_setup import Outcome, make_config, trade
from tests.support.net import own_testbed
from tests.support.paths import ROOT
from tests.support.starbase_captures import replaying

pytestmark = [pytest.mark.netns, pytest.mark.starbase, pytest.mark.tcp]
SECONDS = 6
SECRET = "not-to-be-found-anywhere"


def replays_what_was_captured(folder: Path, config: Path, seen: Outcome) -> None:
    """A backtest over what `live --capture` took reads every packet of it and misses none."""
    captured = {name: sorted((folder / "captured").glob(f"{name}-*.pcap.zst")) for name in seen.exchanges}
    text = replaying(config.read_text(), *captured["starbase"])
    bridge = json.dumps([str(path) for path in captured["bridge"]])
    text = re.sub(r'captures = \["[^"]*bridge.pcap"\]', f"captures = {bridge}", text)
    (folder / "replay.toml").write_text(text)
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(folder / "replay.toml")]
    command += ["--no-report", "--json", "--output", str(folder / "replays")]
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}  # a few thousand packets take less time than compiling
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    replayed = json.loads(result.stdout)
    for name in seen.exchanges:
        own, venue = seen.of_venue(name), replayed["venues"][name]
        assert venue["packets"] == own["capture frames"] > 1_000
        assert venue["sequence_gaps"] == venue["continuity_breaks"] == 0


def tells_every_frame(folder: Path, seen: Outcome) -> None:
    """The journal's turns are as many frames as the rings gave, of each venue; each order left in one that acted."""
    (journal,) = folder.glob("runs/*/latest/journal")
    batches = list(read_journal(journal).batches())
    order = turn_order(list(seen.exchanges))
    times_ns, venues = np.concatenate([turns_of(batch).frames(order) for batch in batches], axis=1)
    assert (np.diff(times_ns) >= 0).all()
    assert len(venues) == seen.engine["frames"]
    for number, name in enumerate(seen.exchanges):
        assert (venues == number).sum() > seen.of_venue(name)["market data frames"] > 1_000
    acted = {time_ns for batch in batches for time_ns in turns_of(batch).times_ns[turns_of(batch).acted == 1].tolist()}
    sent = [record.time_ns for batch in batches for record in records_of(batch, {RecordKind.ORDER_SENT})]
    assert len(sent) > 10
    assert set(sent) <= acted
    # Whoever reads a journal sees them only if they ask for them.
    shown = Counter(record["kind"] for record in show_records(journal, Filter()))
    assert shown["order_sent"] == len(sent)
    assert "turns" not in shown
    asked = list(show_records(journal, Filter(parse_kinds(["turns"]))))
    assert {record["kind"] for record in asked} == {"turns"}
    turns = [each.split(":")[1].rstrip("!") for record in asked for each in record["turns"].split()]
    for name in seen.exchanges:
        assert sum(name in each.split("+") for each in turns) > seen.of_venue(name)["market data frames"]


def is_run_again(folder: Path) -> None:
    """Every order comes again byte for byte, over both gateways, and no frame that is kept has the secret."""
    (run,) = folder.glob("runs/*/latest")
    told = read_run(run)
    captures = open_capture(told, folder / "captured", told.description.venues)
    replayed = Replay(told, captures).follow_all()
    assert replayed.is_same
    assert sum(len(each.sent) for each in replayed.venues) > 10
    kept = [frame for path in (folder / "captured").iterdir() for _, frame in read_frames([path])]
    assert len(kept) > 1_000
    assert [frame for frame in kept if SECRET.encode() in frame] == []


def test_both_sides_agree_over_our_own_tcp(tmp_path: Path) -> None:
    with own_testbed("sb", links=2) as testbed:
        key = tmp_path / "key.toml"
        key.write_text(f'client_id = "agree"\nsecret = "{SECRET}"')
        key.chmod(0o600)
        named = {"self_match_prevention_id = 1": f'credentials = "{key}"'}
        config = make_config(tmp_path, testbed, seconds=SECONDS + 4, example="starbase", **named)
        seen = trade(tmp_path, config, SECONDS, live_options=["--capture", tmp_path / "captured"])
    assert [(row, at_exchange) for *row, at_exchange, _ in seen.rows()] == [
        (row, in_engine) for *row, _, in_engine in seen.rows()
    ]
    exchange, own = seen.exchanges["starbase"], seen.of_venue("starbase")
    assert exchange["new_orders"] > 0
    assert exchange["fills"] > 0
    assert exchange["duplicate_orders"] == exchange["resting"] == 0
    assert exchange["mistakes"] == {}
    assert own["tcp segments"] >= exchange["new_orders"]
    assert seen.engine["counters"]["alarms"] == 0
    (log,) = tmp_path.glob("live-*.log")
    assert re.search(r"^warmed up with [1-9][0-9,]* frames, [1-9]", log.read_text(), re.MULTILINE), log.read_text()
    replays_what_was_captured(tmp_path, config, seen)
    tells_every_frame(tmp_path, seen)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path != key]
    assert len(left) > 5
    assert [path for path in left if SECRET.encode() in path.read_bytes()] == []
    is_run_again(tmp_path)
