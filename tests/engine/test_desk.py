"""Amends, cancels by the venue's id, and quotes, asked for by a strategy at the simulated Starbase.

The exchange's own account of orders and positions is what the engine's is held against.
"""

from pathlib import Path

import pytest

from crosswire.engine.build.run import Run
from crosswire.engine.generate import generate_captures
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.gate import Veto
from crosswire.venues.order import Applied, is_open, is_unsettled_quote, open_lots
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.exchange.account import CLIENT
from crosswire.venues.starbase.exchange.matching.state import OrderPlace
from tests.support.paths import ROOT
from tests.support.short_run import finished_run

EXAMPLE = ROOT / "examples" / "starbase.toml"
SECONDS = 2 if NO_JIT else 20
pytestmark = pytest.mark.starbase

INSTRUMENTS = ["starbase/BTC-PERPETUAL", "starbase/BTC_USDC-PERPETUAL", "bridge/BTCUSDT"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=SECONDS)
    (folder / "examples").mkdir()
    return folder / "examples"


def write_config(
    folder: Path, seed: int, instruments: int = 2, quote_tokens: str = "1_000, 100_000", is_wild: bool = False
) -> Path:
    per_ms, burst = quote_tokens.split(", ")
    text = EXAMPLE.read_text().replace("seconds = 120", f"seconds = {SECONDS}")
    limits = text[text.index("[limits]") :]
    limits = limits.replace("orders_per_second = 40, burst = 20", "orders_per_second = 2000, burst = 200")
    limits = limits.replace(
        "self_match_prevention_id = 1",
        "self_match_prevention_id = 1\ntokens_per_ms = 10_000\ntoken_burst = 1_000_000\n"
        f"quote_tokens_per_ms = {per_ms}\nquote_token_burst = {burst}",
    )
    path = folder / f"run{seed}.toml"
    path.write_text(
        f'name = "desk"\n[strategy]\nuse = "restless"\n[strategy.parameters]\n'
        f"seed = {seed}\ninstruments = {INSTRUMENTS[:instruments]}\nwild = {str(is_wild).lower()}\n{limits}"
    )
    return path


def check_accounts(run: Run) -> None:
    """What positions say is open is the sum over the orders."""
    engine = run.engine
    lots: dict[tuple[int, int], int] = {}
    pending: dict[int, int] = {}
    counts = [0, 0]
    for order in engine.orders.orders:
        if is_open(order):
            counts[order.venue] += 1
            key = (order.instrument, order.side)
            lots[key] = lots.get(key, 0) + open_lots(order)
            if is_unsettled_quote(order):
                pending[order.instrument] = pending.get(order.instrument, 0) + 1
    assert [engine.gate.venues[venue].open_orders for venue in range(2)] == counts
    assert engine.orders.count == sum(counts)
    for positions in (engine.gate.positions, engine.seats[0].desk.positions):
        for index in range(engine.market.count):
            position = positions[index]
            assert position.open_buy_lots == lots.get((index, BUY), 0)
            assert position.open_sell_lots == lots.get((index, SELL), 0)
    assert [engine.gate.positions[index].quotes_pending for index in range(2)] == [
        pending.get(index, 0) for index in range(2)
    ]


@pytest.mark.parametrize(("seed", "is_wild"), [(1, False), (2, False), (3, False), (5, True), (6, True)])
def test_the_engines_orders_are_the_exchanges_own(folder: Path, seed: int, is_wild: bool) -> None:
    run = finished_run(write_config(folder, seed, is_wild=is_wild), check_accounts)
    engine, matching = run.engine, run.parts[0].exchange.matching
    member = matching.members[CLIENT]
    vetoes = {veto.name: engine.gate.vetoes[veto] for veto in Veto if engine.gate.vetoes[veto]}
    assert engine.gate.alarms == 0, {each.name: engine.orders.outcomes[each] for each in Applied}
    strategy = run.core.strategies[0]
    counted = {name: getattr(strategy, name) for name in type(strategy).fields}
    print(counted, vetoes)
    if not NO_JIT:
        assert min(counted[name] for name in ("amended", "amends_refused", "cancelled", "quoted", "filled")) > 0
        assert (counted["held"] > 0) >= is_wild
    for index in range(2):
        assert engine.gate.positions[index].position_lots == member.position_lots[index]
    ours = sorted(
        (order.exchange_order_id, order.instrument, order.side, order.price_ticks, order.qty_lots - order.filled_lots)
        for order in engine.orders.orders
        if is_open(order)
    )
    theirs = sorted(
        (order.order_id, order.instrument, order.side, order.price_ticks, order.qty_lots - order.filled_lots)
        for order in matching.orders
        if order.place != OrderPlace.GONE and order.member == CLIENT
    )
    assert ours == theirs
    assert engine.state.fills == member.fills


def test_what_does_not_leave_is_not_open(folder: Path) -> None:
    """The bridge venue has neither amends nor quotes; Starbase's session holds most quotes back here."""
    run = finished_run(write_config(folder, 4, instruments=3, quote_tokens="1, 4_000"), check_accounts)
    engine, member = run.engine, run.parts[0].exchange.matching.members[CLIENT]
    assert engine.gate.alarms == 0
    assert run.parts[0].session.throttled > 0
    assert engine.gate.vetoes[Veto.NOT_SENT] > 10
    assert engine.gate.vetoes[Veto.UNSUPPORTED] > 10
    for index in range(2):
        assert engine.gate.positions[index].position_lots == member.position_lots[index]
    assert engine.state.fills > member.fills > 0  # the others are the bridge's
