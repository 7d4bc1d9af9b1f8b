"""Goal: `crosswire live` and `crosswire exchange` agree on everything that crossed the wire between them.

Method: both commands as a user starts them, on two veth pairs; their accounts are compared. Then what goes wrong: a
flood that no loop can keep up with, and a kill in the middle of trading.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.journal.reader import read_journal
from crosswire.risk.records import RecordKind
from tests.support.live_setup import (
    COMPILE_PATIENCE_S,
    LEAVING_S,
    PATIENCE_S,
    Outcome,
    make_config,
    outcome,
    started,
    trade,
)
from tests.support.net import own_testbed
from tests.support.paths import ROOT

TRADING_S = 8
AGAIN_S = 15  # joining in the middle: the books come with the next snapshots
FLOOD_BASE_SPEED = 0.3
FLOOD_SPEED = 9
FLOOD_FROM_S, FLOOD_S, AFTER_S = 4, 30, 16
FLOODS_MAX = 3  # tried, until one is a flood: where other work has the processor, the exchange publishes less
SPIN_US = 1600  # a turn: at most 625 frames a second of each venue
PROBER = """
from typing import Annotated

import msgspec
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Array, i64
from crosswire.strategies.desk import Desk, submit, wake_at
from crosswire.strategies.interface import BuildContext, Strategy, on_book, on_order, on_timer
from crosswire.venues.order import Order, OrderState, TimeInForce
from crosswire.venues.side import BUY, SELL


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    spin_cycles: int
    every_turns: int


class Prober(Strategy):
    spin_cycles: i64
    every_turns: i64
    turns: i64
    asked_valid: i64
    asked_invalid: i64
    refused: i64
    side: i64
    asks: Annotated[Array, i64, 2]

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Prober":
        return cls(spin_cycles=parameters.spin_cycles, every_turns=parameters.every_turns, side=BUY)

    def counters(self) -> dict[str, int]:
        return {"asked_valid": self.asked_valid, "asked_invalid": self.asked_invalid, "refused": self.refused}


@on_book.register(Prober)
def begin(strategy: Prober, desk: Desk, instrument: int) -> None:
    wake_at(desk, desk.now_ns)


@on_timer.register(Prober)
def probe(strategy: Prober, desk: Desk) -> None:
    wake_at(desk, desk.now_ns)
    until = cycle_count() + strategy.spin_cycles
    for _ in range(strategy.spin_cycles):  # each takes at least a cycle
        if cycle_count() >= until:
            break
    strategy.turns += 1
    if strategy.turns >= strategy.every_turns:
        strategy.turns = 0
        for instrument in range(desk.instrument_count):
            book = desk.books[instrument]
            if book.valid != 0:
                strategy.asked_valid += 1
                strategy.asks[instrument] = book.ask_ticks if strategy.side == BUY else book.bid_ticks
            else:
                strategy.asked_invalid += 1
            ticks = max(1, strategy.asks[instrument])
            submit(desk, instrument, strategy.side, ticks, 1)
        strategy.side = SELL if strategy.side == BUY else BUY


@on_order.register(Prober)
def count_refused(strategy: Prober, desk: Desk, order: Order) -> None:
    if order.state == OrderState.VETOED:
        strategy.refused += 1
"""


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("lv", links=2) as testbed:
        yield testbed


@pytest.mark.netns
def test_both_sides_agree(testbed: Testbed, tmp_path: Path) -> None:
    """Over AF_XDP; over sockets tests/engine/test_capture_command.py does, and taps them."""
    config = make_config(tmp_path, testbed, seconds=TRADING_S + 4)
    seen = trade(tmp_path, config, TRADING_S)
    assert [(row, at_exchange) for *row, at_exchange, _ in seen.rows()] == [
        (row, in_engine) for *row, _, in_engine in seen.rows()
    ]
    for name in seen.exchanges:
        own = seen.of_venue(name)
        assert own["market data frames"] > 1000
        assert own["market data drops"] == own["interface drops"] == 0
        assert own["orders sent"] > 0
    assert seen.engine["counters"]["orders open at the end"] == 0
    assert seen.engine["fills"] > 0
    assert sum(count for _, count in seen.engine["latencies"]["receive to send"]["buckets"]) > 0


FAILING = """
import msgspec
from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct):
    pass


class Failing(Strategy):
    seen: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Failing":
        return cls()


@on_book.register(Failing)
def fail(strategy: Failing, desk: Desk, instrument: int) -> None:
    strategy.seen += 100 // (instrument - instrument)
"""


@pytest.mark.netns
def test_a_strategy_that_fails_in_the_warm_up_never_trades(testbed: Testbed, tmp_path: Path) -> None:
    """It would fail on the first real frames, too: nothing is opened, no run is left, the line is its own."""
    config = make_config(tmp_path, testbed, seconds=4)
    text = config.read_text()
    begin, end = text.index("[strategy]"), text.index("# For `crosswire")
    config.write_text(f'{text[:begin]}[strategy]\nuse = "mine.py:Failing"\n\n{text[end:]}')
    (tmp_path / "mine.py").write_text(FAILING)
    line = FAILING.splitlines().index("    strategy.seen += 100 // (instrument - instrument)") + 1
    before = network_state(testbed)
    with started(tmp_path, "live", config, "--output", tmp_path / "runs") as live:
        assert live.process.wait(COMPILE_PATIENCE_S) == 1
    said = [each for each in live.text().splitlines() if not each.startswith(("compil", "no earlier run", "host: "))]
    assert said == [f"crosswire: {config}: ZeroDivisionError: integer division by zero (mine.py:{line})"]
    assert network_state(testbed) == before
    assert not list((tmp_path / "runs").glob("*/*Z-*"))


FAILING_EXCHANGE = """
import sys
from crosswire.engine import cli
from crosswire.engine.exchange.publish import Publisher


def serve(publisher, until_ns):
    raise AssertionError("the exchange's books (venues/exchange/matching.py:1)")


Publisher.serve = serve
sys.argv[1:] = ["exchange", sys.argv[1]]
cli.main()
"""


@pytest.mark.netns
def test_an_exchange_that_fails_says_so_in_one_line(testbed: Testbed, tmp_path: Path) -> None:
    config = make_config(tmp_path, testbed, seconds=4)
    command = [sys.executable, "-c", FAILING_EXCHANGE, str(config)]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    said = [each for each in failed.stderr.splitlines() if not each.startswith("compil")]
    assert said == [f"crosswire: {config}: AssertionError: the exchange's books (venues/exchange/matching.py:1)"]
    assert failed.stdout == "ready\n"


@pytest.mark.netns
@pytest.mark.flood
def test_a_flood_loses_no_count_and_no_money(testbed: Testbed, tmp_path: Path) -> None:
    """Ten times what the loop can take: what is lost is counted, the books say so, and nothing is traded on them."""
    for attempt in range(FLOODS_MAX):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        seen, resident = flood(testbed, folder)
        if is_flood(seen):
            break
    assert is_flood(seen)
    check_flood(seen)
    flat = resident[FLOOD_FROM_S : FLOOD_FROM_S + FLOOD_S]
    assert max(flat) - min(flat) < 1 << 20, flat


def flood(testbed: Testbed, folder: Path) -> tuple[Outcome, list[int]]:
    """Run into a flood; what came of it, and the engine's resident bytes each second."""
    seconds = round(FLOOD_S * FLOOD_SPEED + (FLOOD_FROM_S + AFTER_S) * FLOOD_BASE_SPEED + 4)
    (folder / "prober.py").write_text(PROBER)
    config = make_config(
        folder,
        testbed,
        seconds=seconds,
        **{
            'use = "cross_spread"': 'use = "prober.py:Prober"',
            # The kernel's TCP: with ours on the same ring its drops would be segments too, which nobody publishes.
            'require = "generic"': 'require = "generic"\nframes = 256\ntcp = "kernel"',
        },
    )
    text = config.read_text()
    head, _, rest = text.partition("[strategy.parameters]")
    _, _, rest = rest.partition("# For `crosswire exchange`")
    cycles = round(SPIN_US * 1e-6 * counter_hz())
    config.write_text(f"{head}[strategy.parameters]\nspin_cycles = {cycles}\nevery_turns = 40\n#{rest}")
    total_s = FLOOD_FROM_S + FLOOD_S + AFTER_S
    burst = ("--speed", FLOOD_BASE_SPEED, "--burst", FLOOD_FROM_S, FLOOD_S, FLOOD_SPEED)
    resident: list[int] = []
    with started(folder, "exchange", config, "--wait", "--seconds", total_s, *burst) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", folder / "runs", "--seconds", total_s + LEAVING_S) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            begun = time.monotonic()
            while live.process.poll() is None and time.monotonic() - begun < total_s:
                resident.append(live.resident_bytes())
                time.sleep(1)
            seen = outcome(exchanges, live, folder)
    return seen, resident


def is_flood(seen: Outcome) -> bool:
    """Tell whether the exchange had the processor to publish much more than the engine could take."""
    taken = {name: seen.of_venue(name)["market data frames"] for name in seen.exchanges}
    return all(exchange["published"] >= 5 * taken[name] for name, exchange in seen.exchanges.items())


def counter_hz() -> float:
    """The time-stamp counter's rate."""
    from crosswire.nic.memory.raw import cycle_count

    cycles, begun = cycle_count(), time.monotonic()
    time.sleep(0.1)
    return (cycle_count() - cycles) / (time.monotonic() - begun)


def check_flood(seen: Outcome) -> None:
    """Frames add up; books were lost and came back; what was asked on a lost book was refused, all of it."""
    counters = seen.engine["counters"]
    for name, exchange in seen.exchanges.items():
        own, feed = seen.of_venue(name), seen.engine["venues"][name]
        lost = own["market data drops"] + own["interface drops"]
        assert exchange["published"] == own["market data frames"] + lost
        assert feed["sequence_gaps"] > 10
    assert [(row, at_exchange) for *row, at_exchange, _ in seen.rows()] == [
        (row, in_engine) for *row, _, in_engine in seen.rows()
    ]
    assert counters["asked_valid"] > 0
    assert counters["asked_invalid"] > 0
    vetoes = seen.engine["orders_vetoed"]
    # Before the logon and after the stop the gate has other reasons, which come first.
    elsewhere = vetoes.get("session_not_ready", 0) + vetoes.get("halted", 0) + vetoes.get("cancel_only", 0)
    assert vetoes["invalid_book"] > 100
    assert vetoes["invalid_book"] + elsewhere >= counters["asked_invalid"]
    assert seen.engine["orders_sent"] + counters["refused"] == counters["asked_valid"] + counters["asked_invalid"]
    assert 0 < seen.engine["orders_sent"] <= counters["asked_valid"]
    # Both sides count the same orders: none was sent that the test would not know of.
    assert sum(each["new_orders"] for each in seen.exchanges.values()) == seen.engine["orders_sent"]
    assert all(each["last_mid"] is not None for each in seen.engine["instruments"].values())


def network_state(testbed: Testbed) -> dict[str, list[str]]:
    """What a process may leave behind in the engine's namespace, and on the host."""

    def run(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    links = run("ip", "netns", "exec", testbed.engine, "ip", "-d", "link").splitlines()
    memory = Path("/proc/meminfo").read_text().splitlines()
    return {
        "xdp": [line for line in links if "xdp" in line],
        "promiscuous": [line for line in links if "promiscuity" in line and "promiscuity 0" not in line],
        "groups": sorted(
            line.split()[0]
            for line in run("ip", "netns", "exec", testbed.engine, "cat", "/proc/net/igmp").splitlines()
            if line.startswith("\t")
        ),
        # The warm-up's has no name and went before; other tests' may come and go.
        "namespaces": [line for line in run("ip", "netns", "list").splitlines() if line.startswith(testbed.name)],
        "huge pages": [line for line in memory if line.startswith("HugePages")],
    }


def kinds(journal: Path) -> Counter[RecordKind]:
    """How many records of each kind a journal holds."""
    found: Counter[RecordKind] = Counter()
    for batch in read_journal(journal).batches():
        found.update(map(RecordKind, batch.commits["kind"].tolist()))
    return found


@pytest.mark.netns
@pytest.mark.kill
def test_a_kill_while_trading_leaves_nothing(testbed: Testbed, tmp_path: Path) -> None:
    """SIGKILL: the kernel takes program, groups and connection away; the exchange cancels; the next start goes on."""
    config = make_config(tmp_path, testbed, seconds=120)
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        before = network_state(testbed)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs") as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            during = network_state(testbed)
            assert len(during["xdp"]) > 0
            assert len(during["groups"]) > len(before["groups"])
            live.process.send_signal(signal.SIGKILL)
            live.process.wait()
        deadline_s = time.monotonic() + PATIENCE_S
        while network_state(testbed) != before and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert network_state(testbed) == before
        journal = tmp_path / "runs" / "synthetic" / "latest" / FOLDER
        assert kinds(journal)[RecordKind.FILL] > 0
        assert RecordKind.CLOSED not in kinds(journal)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", AGAIN_S) as again:
            again.wait_for("trading", COMPILE_PATIENCE_S)
            again.wait_for("run folder", AGAIN_S + PATIENCE_S)
            exchanges.process.send_signal(signal.SIGTERM)
            seen = outcome(exchanges, again, tmp_path)
    assert seen.engine["orders_sent"] > 0
    assert all(each["resting"] == 0 for each in seen.exchanges.values())
    assert sum(each["new_orders"] for each in seen.exchanges.values()) > seen.engine["orders_sent"]
