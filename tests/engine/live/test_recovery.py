"""Kill a live run at any moment and start it again: it knows what the exchange knows before it sends an order."""

import os
import random
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.journal.carry import Carried, last_carried
from crosswire.engine.journal.decode import records_of
from crosswire.engine.journal.reconcile import reconcile
from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER, salvage
from crosswire.nic.journal.reader import read_journal
from crosswire.risk.records import KINDS, VERSION, RecordKind
from crosswire.venues.order import OrderState, RejectReason
from crosswire.venues.session import SessionState
from tests.engine.live.test_leaving import RESTLESS, account, config_with
from tests.support.live_setup import COMPILE_PATIENCE_S, started
from tests.support.net import own_testbed

pytestmark = [pytest.mark.netns, pytest.mark.recovery]
KILLS = int(os.environ.get("CROSSWIRE_KILLS", "3"))  # of each configuration
MARKET_S = 120 + 25 * KILLS
FIRST_KILLED_S = 2  # at most, after its first fill
KILLED_S = 6  # at most, after it has begun to trade; half of them within 1 s, as it logs on, compares and begins
KILLED_MEAN_S = 1.5
TRADING_S = 15  # joining in the middle: the books come with the next snapshots
STARBASE_RESTLESS = RESTLESS.replace(
    '"deribit/BTC-PERPETUAL"', '"starbase/BTC-PERPETUAL", "starbase/BTC_USDC-PERPETUAL"'
)


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("lr", links=2) as testbed:
        yield testbed


def rest_config(folder: Path, testbed: Testbed, seconds: int) -> Path:
    """Starbase with its REST, which tells positions too."""
    config = config_with(folder, testbed, STARBASE_RESTLESS, seconds, "starbase")
    key = folder / "classic.toml"
    key.write_text('client_id = "classic"\nsecret = "classic"')
    key.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        # Each gateway answers ten times a minute; more starts than that have both.
        first, second = (f"http://127.0.0.1:{free.getsockname()[1]}" for free in (one, other))
    keys = f'rest = "{first}"\nrest_b = "{second}"\npositions = "{first}"\npositions_credentials = "{key}"\n'
    config.write_text(config.read_text().replace("[venue.starbase]\n", f"[venue.starbase]\n{keys}"))
    return config


def run_folders(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "runs").glob("*/*") if path.is_dir() and not path.is_symlink())


def rows(run: Path, kind: RecordKind) -> list[dict[str, int]]:
    names = list(KINDS[kind].fields)
    return [
        dict(zip(names, row.tolist(), strict=True))
        for batch in read_journal(run / FOLDER).batches()
        for row in batch.of(kind, KINDS[kind], VERSION)
    ]


def carried_lots(folder: Path) -> dict[str, int]:
    """What the last journal holds, of all strategies together; nothing is open by it."""
    (runs,) = (folder / "runs").iterdir()
    carried = last_carried(runs)
    assert isinstance(carried, Carried)
    assert carried.orders == {}
    return {name: held.position_lots for (who, name), held in carried.holdings.items() if who == ""}


def compare(folder: Path, seen: dict[str, Any]) -> None:
    """The exchanges' own account is that of the journals: positions, fills, orders, ids."""
    theirs = {name: lots for venue in seen.values() for name, lots in venue["position_lots"].items() if lots}
    assert {name: lots for name, lots in carried_lots(folder).items() if lots} == theirs
    runs = run_folders(folder)
    fills = [fill for run in runs for fill in rows(run, RecordKind.FILL)]
    assert len({(fill["instrument"], fill["execution_id"]) for fill in fills}) == len(fills)
    assert len(fills) == sum(venue["fills"] for venue in seen.values())
    sent = [order["client_order_id"] for run in runs for order in rows(run, RecordKind.ORDER_SENT)]
    assert len(set(sent)) == len(sent)
    assert len(sent) >= sum(venue["new_orders"] for venue in seen.values())
    ended = [order for run in runs for order in rows(run, RecordKind.ORDER_ENDED)]
    rejected = [order for order in ended if order["state"] == OrderState.REJECTED]
    assert not [order for order in rejected if order["reason"] == RejectReason.DUPLICATE_ID]
    assert all(venue["resting"] == 0 for venue in seen.values())


def start_of(run: Path, begun_ns: int) -> dict[str, float]:
    """Seconds from the command to what its journal tells of its start; of a run that was killed before, less of it."""
    kinds = {RecordKind.OPENED, RecordKind.SESSION, RecordKind.ORDER_SENT}
    records = [each for batch in read_journal(run / FOLDER).batches() for each in records_of(batch, kinds)]
    sessions = [each for each in records if each.kind == RecordKind.SESSION]
    venues = {each.fields["venue"] for each in sessions}

    def all_are(state: SessionState) -> list[int]:
        firsts = {}
        for each in sessions:
            if each.fields["state"] == state:
                firsts.setdefault(each.fields["venue"], each.time_ns)
        return [max(firsts.values())] if firsts and set(firsts) == venues else []

    moments = {
        "journal taken over": [each.time_ns for each in records if each.kind == RecordKind.OPENED],
        "logging on everywhere": all_are(SessionState.LOGGING_ON),
        "accounts told, orders allowed": all_are(SessionState.READY),
        "first order": [each.time_ns for each in records if each.kind == RecordKind.ORDER_SENT],
    }
    return {name: (times[0] - begun_ns) / 1e9 for name, times in moments.items() if times}


def tell_starts(folder: Path, started_ns: list[int]) -> None:
    """Tell how long after the command each run traded; not of those that were killed before."""
    found: dict[str, list[float]] = {}
    for run, begun_ns in zip(run_folders(folder), started_ns, strict=True):
        for name, after_s in start_of(run, begun_ns).items():
            found.setdefault(name, []).append(after_s)
    print(f"{len(started_ns)} starts; seconds after the command:")
    for name, times_s in found.items():
        times_s.sort()
        least, median, p90 = (times_s[len(times_s) * percent // 100] for percent in (0, 50, 90))
        print(f"  {name}, {len(times_s)} starts: {least:.2f} (least), {median:.2f} (median), {p90:.2f} (p90),", end=" ")
        print(f"{times_s[-1]:.2f} (most)")


def killed(
    folder: Path, config: Path, chance: random.Random, traded: str = "fills [1-9]", longest_s: float = FIRST_KILLED_S
) -> str:
    """Start, trade, and kill at a moment drawn by chance; what it said."""
    with started(folder, "live", config, "--output", folder / "runs") as live:
        live.wait_for("trading", COMPILE_PATIENCE_S)
        live.wait_for(traded, COMPILE_PATIENCE_S)
        time.sleep(min(chance.expovariate(1 / KILLED_MEAN_S), longest_s))
        live.process.send_signal(signal.SIGKILL)
        live.process.wait()
        return live.text()


@pytest.mark.parametrize("example", ["synthetic", "starbase"])
def test_a_killed_run_goes_on_where_it_was(testbed: Testbed, tmp_path: Path, example: str) -> None:
    if example == "starbase":
        config = rest_config(tmp_path, testbed, MARKET_S)
    else:
        config = config_with(tmp_path, testbed, RESTLESS, MARKET_S)
    chance = random.Random(KILLS)
    said, started_ns = [], []
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        for number in range(KILLS):
            started_ns.append(time.time_ns())
            # From before the logon until well into trading; only the first needs to have traded.
            moment = ("trading", KILLED_S) if number else ("fills [1-9]", FIRST_KILLED_S)
            said.append(killed(tmp_path, config, chance, *moment))
        started_ns.append(time.time_ns())
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", TRADING_S) as live:
            live.wait_for("run folder", COMPILE_PATIENCE_S)
            live.finish()
            said.append(live.text())
        seen = account(exchanges)
    tell_starts(tmp_path, started_ns)
    compare(tmp_path, seen)
    assert "no earlier run of this name" in said[0]
    for text in said[1:]:
        told = re.search(
            r"\S+Z-[0-9a-f]{8}\S* died; it held (.*); the end of \d+ orders is not known", " ".join(text.split())
        )
        assert told
        assert ("lots" in told[1]) == (re.search(r"[+-][\d.]+ BTC net", told[1]) is not None)
    assert ("starbase: positions and open orders compared with REST" in said[-1]) == (example == "starbase")
    assert sum(venue["new_orders"] for venue in seen.values()) > 20
    assert sum(1 for run in run_folders(tmp_path) if rows(run, RecordKind.FILL)) > KILLS // 3


def test_what_rest_tells_otherwise_is_an_alarm_and_an_operators_to_accept(testbed: Testbed, tmp_path: Path) -> None:
    config, runs = rest_config(tmp_path, testbed, MARKET_S), tmp_path / "runs"
    lasting = ("--output", runs, "--seconds", TRADING_S)
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        killed(tmp_path, config, random.Random(1), "fills [1-9][0-9]")
        # Without its journals the engine knows of nothing.
        shutil.move(runs, tmp_path / "away")
        for journal in (tmp_path / "away").glob("*/*/journal"):
            salvage(journal)  # no next start will take its memory back
        with started(tmp_path, "live", config, *lasting) as live:
            assert live.process.wait(COMPILE_PATIENCE_S) == 1
        said = " ".join(live.text().split())
        assert re.search(r"crosswire: alarm: .*starbase/\S+: 0 lots by our journal, -?\d+ by the venue's account", said)
        assert reconcile(config, runs, accept=True).folder is not None
        with started(tmp_path, "live", config, *lasting) as live:
            live.wait_for("run folder", COMPILE_PATIENCE_S)
            live.finish()
        seen = account(exchanges)
    theirs = {name: lots for venue in seen.values() for name, lots in venue["position_lots"].items() if lots}
    assert {name: lots for name, lots in carried_lots(tmp_path).items() if lots} == theirs
    assert "alarm" not in live.text()
