"""The same orders at the same times over one recording, in hftbacktest 2.4.4: each fill that differs, and why.

`two_exchanges.py` is both: with none of our rules it must give every fill of hftbacktest, with all of them every fill
of ours. What differs between the two is then what changes from one step to the next, rule by rule.

hftbacktest pins another numpy, so it has an environment of its own: `python -m tests.bench.yardstick install`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.bench.yardstick import PACKAGE, yardstick_folder
from tests.support.paths import RECORDINGS, recording
from tests.truth.hftbacktest_rows import rows_of
from tests.truth.plain_exchange import BUY, SELL, Packet, read_packets
from tests.truth.two_exchanges import RULES, Exchange, Fill, Own, Rules, ladder

FOLDER = Path(__file__).parent
PYTHON = yardstick_folder() / "bin" / "python"
pytestmark = [
    pytest.mark.truth,
    pytest.mark.slow,
    pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled"),
    pytest.mark.skipif(
        not PYTHON.exists(), reason=f"needs {PACKAGE}: `python -m tests.bench.yardstick install` makes its environment"
    ),
]
SIDES = {"buy": BUY, "sell": SELL}
FEED_NS, ORDER_NS, RESPONSE_NS = 300_000, 500_000, 500_000  # as clockwork.toml has them
TICK, LOT = 0.1, 0.001
CAPTURE = "usdm_btcusdt_20240808.pcap"
POST_ONLY, IOC = 1, 3  # hftbacktest's numbers
INVALID_ORDER_STATUS = 14  # what it ends with when it meets an order again that it has filled
MS = 1_000_000
QUEUES = {"risk_averse": ('"risk_averse"', 0), "power": ('{ model = "power", n = 3 }', 3)}


@dataclass(frozen=True)
class Strategy:
    """`Clockwork`'s parameters."""

    period_ms: int
    lifetime: int
    away_ticks: int
    lots: list[int]

    @property
    def lifetime_ns(self) -> int:
        return self.lifetime * self.period_ms * MS

    def parameters(self) -> str:
        fields = f"period_ms = {self.period_ms}, lifetime = {self.lifetime}, away_ticks = {self.away_ticks}"
        return f'{{ instrument = "usdm/BTCUSDT", {fields}, lots = {self.lots} }}'


STRATEGIES = {
    "taker": Strategy(period_ms=200, lifetime=0, away_ticks=5, lots=[20, 500, 4_000]),
    "joiner": Strategy(period_ms=250, lifetime=1, away_ticks=0, lots=[50]),
    "rester": Strategy(period_ms=1_000, lifetime=20, away_ticks=20, lots=[100]),
}
Orders = list[dict[str, Any]]


def run_ours(folder: Path, capture: Path, strategy: Strategy, queue: str) -> tuple[Orders, list[Fill]]:
    """Run the strategy here; return its orders as they were sent, and their fills."""
    text = (FOLDER / "clockwork.toml").read_text()
    shutil.copy(FOLDER / "clockwork.py", folder)
    values = {"folder": str(folder), "capture": str(capture), "parameters": strategy.parameters(), "queue": queue}
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    (folder / "clockwork.toml").write_text(text)
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(folder / "clockwork.toml")]
    result = subprocess.run(
        [*command, "--json", "--no-report", "-o", str(folder / "runs")],
        env=os.environ | {"CROSSWIRE_DATA": str(RECORDINGS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["orders_vetoed"] == {}
    run = folder / "runs" / "clockwork" / "latest"
    orders = rows(run / "orders.parquet")
    for order in orders:
        if order["state"] == "cancelled" and strategy.lifetime:
            assert order["closed_ns"] == order["created_ns"] + strategy.lifetime_ns + ORDER_NS + RESPONSE_NS
    fills = [
        (fill["client_order_id"], fill["price_ticks"], fill["qty_lots"], fill["exchange_time_ns"])
        for fill in rows(run / "fills.parquet")
    ]
    return orders, fills


def rows(path: Path) -> list[dict[str, Any]]:
    table = pyarrow.parquet.read_table(path)
    times = [each.name for each in table.schema if pyarrow.types.is_timestamp(each.type)]
    return table.drop_columns(times).to_pylist()


def run_theirs(
    folder: Path, events: Any, orders: Orders, lifetime_ns: int, queue: str
) -> tuple[list[Fill], tuple[int, int]]:
    """Give hftbacktest these orders, each cancelled after its lifetime; return the fills, and how it ended."""
    requests = []
    for order in orders:
        time_ns, number = order["created_ns"], order["client_order_id"]
        time_in_force = POST_ONLY if lifetime_ns else IOC
        terms = SIDES[order["side"]], order["price_ticks"], order["qty_lots"], time_in_force
        requests.append((time_ns, 1, number, *terms))
        if lifetime_ns:
            requests.append((time_ns + lifetime_ns, 0, number, 0, 0, 0, 0))
    given = np.delete(np.array(sorted(requests), np.int64), 1, axis=1)
    latencies = np.array([ORDER_NS, RESPONSE_NS])
    source, target = folder / "orders.npz", folder / "fills.npz"
    np.savez(source, events=events, requests=given, terms=np.array([TICK, LOT]), latencies_ns=latencies)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(PYTHON), str(FOLDER / "hftbacktest_fills.py"), str(source), str(target), queue]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with np.load(target) as told:
        fills = [(int(number), int(price), int(lots), int(time)) for number, price, lots, time in told["fills"]]
        return fills, (int(told["end"][0]), int(told["end"][1]))


@cache
def packets_of(capture: Path) -> list[Packet]:
    return list(read_packets(capture))


def play(rules: Rules, power: int, packets: list[Packet], orders: Orders, lifetime_ns: int) -> Exchange:
    """Let the plain exchange have the orders, each at the time at which it arrives there."""
    exchange = Exchange(rules, power, LOT)
    arrivals = [(order["created_ns"] + ORDER_NS, 1, order) for order in orders]
    if lifetime_ns:
        arrivals += [(time_ns + lifetime_ns, 0, order) for time_ns, _, order in arrivals]
    arrivals.sort(key=lambda arrival: (*arrival[:2], arrival[2]["client_order_id"]))
    place = 0
    for packet in packets:
        now_ns = packet.receive_ns - FEED_NS
        while place < len(arrivals) and arrivals[place][0] < now_ns:
            time_ns, is_new, order = arrivals[place]
            place += 1
            number, side = order["client_order_id"], SIDES[order["side"]]
            if is_new:
                exchange.arrive(Own(number, side, order["price_ticks"], order["qty_lots"], lifetime_ns == 0), time_ns)
            else:
                exchange.leave(number)
        exchange.apply(packet, now_ns)
    return exchange


def by_order(fills: list[Fill]) -> dict[int, list[Fill]]:
    table: dict[int, list[Fill]] = defaultdict(list)
    for fill in fills:
        table[fill[0]].append(fill)
    return table


@dataclass(frozen=True)
class Account:
    """What the two have in common, and why they have not more."""

    orders: int
    ours: int  # fills
    theirs: int
    same: int
    lots: tuple[int, int]  # filled here and there
    orders_with_fills: int  # in either
    orders_same: int  # of these, in every fill
    orders_same_lots: int  # of these, in what they filled in all
    reasons: dict[str, tuple[int, int]]  # rule: orders that it alone makes different, orders that it does with others
    errors: int  # orders that hftbacktest ended with an error at

    def show(self, name: str) -> str:
        reasons = ", ".join(f"{rule} {alone}+{shared}" for rule, (alone, shared) in self.reasons.items())
        return (
            f"{name}: {self.orders} orders, fills {self.ours} ours, {self.theirs} theirs, {self.same} the same; orders "
            f"with fills {self.orders_with_fills}, {self.orders_same} the same, {self.orders_same_lots} in size; "
            f"lots {self.lots[0]} and {self.lots[1]}; by rule alone + with others: {reasons}"
            f"; errors {self.errors}"
        )


def filled(table: dict[int, list[Fill]], number: int) -> int:
    return sum(fill[2] for fill in table.get(number, []))


def explain(steps: list[Exchange], orders: int) -> Account:
    """Name the rules that turn each order's fills from hftbacktest's into ours."""
    tables = [by_order(step.fills) for step in steps]
    theirs, ours = tables[0], tables[-1]
    numbers = theirs.keys() | ours.keys()
    alone: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    different = [number for number in numbers if theirs.get(number) != ours.get(number)]
    for number in different:
        rules = [
            rule
            for rule, before, after in zip(RULES, tables, tables[1:], strict=False)
            if before.get(number) != after.get(number)
        ]
        assert rules, f"order {number}: {theirs.get(number)} there, {ours.get(number)} here"
        for rule in rules:
            (alone if len(rules) == 1 else shared)[rule] += 1
    return Account(
        orders,
        len(steps[-1].fills),
        len(steps[0].fills),
        len(set(steps[0].fills) & set(steps[-1].fills)),
        (sum(fill[2] for fill in steps[-1].fills), sum(fill[2] for fill in steps[0].fills)),
        len(numbers),
        len(numbers) - len(different),
        sum(filled(ours, number) == filled(theirs, number) for number in numbers),
        {rule: (alone[rule], shared[rule]) for rule in RULES if alone[rule] or shared[rule]},
        len(steps[0].errors),
    )


EXPECTED = {
    ("taker", "risk_averse"): Account(
        orders=1722,
        ours=1849,
        theirs=1327,
        same=931,
        lots=(1_331_244, 1_123_120),
        orders_with_fills=1696,
        orders_same=924,
        orders_same_lots=973,
        reasons={"tells_every_level": (37, 379), "uses_quotes": (47, 210), "remembers_taken": (300, 296)},
        errors=0,
    ),
    ("joiner", "risk_averse"): Account(
        orders=2756,
        ours=831,
        theirs=491,
        same=142,
        lots=(16_234, 16_142),
        orders_with_fills=343,
        orders_same=56,
        orders_same_lots=308,
        reasons={
            "uses_quotes": (119, 117),
            "crosses_up_to_size": (4, 19),
            "trades_through_up_to_size": (42, 43),
            "counts_either_side": (1, 2),
            "counts_late_trades_once": (1, 82),
        },
        errors=1,
    ),
    ("joiner", "power"): Account(
        orders=2756,
        ours=881,
        theirs=525,
        same=96,
        lots=(16_569, 16_296),
        orders_with_fills=351,
        orders_same=32,
        orders_same_lots=308,
        reasons={
            "uses_quotes": (126, 162),
            "crosses_up_to_size": (3, 17),
            "trades_through_up_to_size": (23, 49),
            "counts_either_side": (0, 3),
            "counts_late_trades_once": (1, 109),
            "empties_queues_at_most": (0, 6),
            "keeps_parts_of_lots": (0, 49),
        },
        errors=1,
    ),
    ("rester", "risk_averse"): Account(
        orders=688,
        ours=1098,
        theirs=571,
        same=55,
        lots=(51_700, 51_200),
        orders_with_fills=517,
        orders_same=33,
        orders_same_lots=512,
        reasons={
            "uses_quotes": (166, 49),
            "crosses_up_to_size": (1, 37),
            "trades_through_up_to_size": (256, 10),
            "counts_either_side": (0, 3),
            "counts_late_trades_once": (0, 3),
            "shares_trades": (9, 8),
        },
        errors=0,
    ),
    ("rester", "power"): Account(
        orders=688,
        ours=1105,
        theirs=578,
        same=53,
        lots=(51_700, 51_200),
        orders_with_fills=517,
        orders_same=31,
        orders_same_lots=512,
        reasons={
            "sees_whole_messages": (0, 1),
            "uses_quotes": (164, 52),
            "crosses_up_to_size": (1, 37),
            "trades_through_up_to_size": (246, 20),
            "counts_either_side": (0, 3),
            "counts_late_trades_once": (0, 3),
            "shares_trades": (8, 16),
            "empties_queues_at_most": (1, 1),
            "keeps_parts_of_lots": (1, 5),
        },
        errors=0,
    ),
}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording as the importer writes it; each run here would import it anew."""
    recording("binance/usdm/btcusdt_20240808.gz")
    return tmp_path_factory.mktemp("capture") / CAPTURE


@pytest.mark.parametrize(("name", "queue"), EXPECTED)
def test_every_fill_that_differs_has_a_reason(tmp_path: Path, capture: Path, name: str, queue: str) -> None:
    strategy, (setting, power) = STRATEGIES[name], QUEUES[queue]
    orders, ours = run_ours(tmp_path, capture, strategy, setting)
    packets = packets_of(capture)
    assert packets[-1].receive_ns - packets[0].receive_ns > 344 * 10**9
    steps = [play(rules, power, packets, orders, strategy.lifetime_ns) for rules in ladder()]
    assert steps[-1].fills == ours
    events = rows_of(packets, FEED_NS, TICK, LOT)
    fails = {number for number, _ in steps[0].errors}
    # It ends with an error at these, so they are left out: its orders know nothing of each other, nothing else changes.
    if fails:
        told, (code, _) = run_theirs(tmp_path, events, orders, strategy.lifetime_ns, queue)
        assert code == INVALID_ORDER_STATUS
        first_ns = min(time_ns for _, time_ns in steps[0].errors)
        assert told
        assert max(fill[3] for fill in told) <= first_ns
    others = [order for order in orders if order["client_order_id"] not in fails]
    theirs, (code, _) = run_theirs(tmp_path, events, others, strategy.lifetime_ns, queue)
    assert code != INVALID_ORDER_STATUS
    assert sorted(theirs) == sorted(fill for fill in steps[0].fills if fill[0] not in fails)
    account = explain(steps, len(orders))
    print(account.show(f"{name}, {queue}"))
    assert account == EXPECTED[name, queue]
