"""Goal: `explain` of a live run names the faults that were put into it, and no other; of one without any, none.

The runs are played on virtual time against the simulated exchanges, journalled and captured as a live run is.
"""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.explain.explain import Explained, explain_run
from crosswire.engine.explain.findings import Cause, Money, add_money, sum_money
from crosswire.engine.explain.show import money_text, print_explained
from crosswire.nic.duration import NS_PER_MS
from tests.support.simulated_live import (
    Fault,
    delay_orders,
    fill_ring,
    improve_fill,
    kill_gateway,
    lose_market_data,
    make_run_config,
    play_live,
    tell_lie,
    throttle,
)

DERIBIT, BRIDGE = 0, 1
# The strategy trades in bursts: at 0.1 s, 0.85, 1.85, 2.25 and 3.05.
FIVE = (
    (840, throttle(BRIDGE, 12)),
    (1_500, delay_orders(DERIBIT, 3)),
    (2_300, lose_market_data(DERIBIT, 40)),
    (3_000, improve_fill(BRIDGE, 1)),
    (3_800, kill_gateway(BRIDGE)),
)
NAMED_FIVE = [
    (Cause.REFUSED, "bridge", "rate_limit", 840, 860),
    (Cause.LATE, "deribit", "", 1_500, 2_300),
    (Cause.MARKET_DATA_LOST, "deribit", "", 2_300, 2_600),
    (Cause.PRICE, "bridge", "better", 3_000, 3_100),
    (Cause.SESSION_LOST, "bridge", "", 3_800, 4_900),
]
TWO_THAT_END_IT = ((845, fill_ring(DERIBIT, 12)), (1_840, tell_lie(BRIDGE)))
NAMED_TWO = [
    (Cause.NOT_SENT, "deribit", "", 845, 870),
    (Cause.NOT_BELIEVED, "bridge", "bad_price", 1_840, 1_860),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run_config(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def quiet_run(config: Path) -> Path:
    run = config.parent / "quiet"
    play_live(run, config)
    return run


def played(config: Path, name: str, faults: Sequence[tuple[int, Fault]]) -> Explained:
    run = config.parent / name
    play_live(run, config, faults)
    return explain_run(run)


def named(explained: Explained) -> list[tuple[Cause, str, str, int, int]]:
    """List the findings but what follows from them: cause, venue, detail, from and until, ms after the first turn."""
    begun_ns = explained.replayed.first_ns
    return [
        (each.cause, each.venue, each.detail, *((at - begun_ns) // NS_PER_MS for at in (each.first_ns, each.last_ns)))
        for each in explained.findings
        if each.cause != Cause.FOLLOWS
    ]


def is_named(explained: Explained, expected: list[tuple[Cause, str, str, int, int]]) -> bool:
    found = named(explained)
    within = [
        one[:3] == other[:3] and other[3] <= one[3] and one[4] <= other[4]
        for one, other in zip(found, expected, strict=False)
    ]
    return len(found) == len(expected) and all(within)


def test_five_faults_are_named_and_nothing_else(config: Path) -> None:
    explained = played(config, "five", FIVE)
    assert is_named(explained, NAMED_FIVE), named(explained)
    assert explained.replayed.is_same
    assert explained.remainder_e9 == {}
    assert explained.is_explained
    between_e9: Money = {}
    for side_e9, sign in ((explained.live.profit_e9, 1), (explained.backtest.profit_e9, -1)):
        add_money(between_e9, side_e9, sign)
    assert explained.followed_e9 != {} != explained.direct_e9
    assert sum_money((explained.direct_e9, explained.followed_e9)) == between_e9
    console = Console(file=StringIO(), width=120, color_system=None)
    print_explained(explained, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    shown = [line for line in lines if line.startswith("by ")]
    for line, effect_e9 in zip(shown, (explained.direct_e9, explained.followed_e9), strict=True):
        assert f": {money_text(effect_e9)}" in line
    assert "how much from which is not known" in shown[1]
    # One tick of 0.1 on 14 lots of 0.001, in our favour.
    (improved,) = (each for each in explained.findings if each.cause == Cause.PRICE)
    assert improved.effect_e9 == {"USDT": 1_400_000}
    (late,) = (each for each in explained.findings if each.cause == Cause.LATE)
    assert "answered 3,000 us later" in late.text


def test_faults_that_end_trading_are_named(config: Path) -> None:
    explained = played(config, "two", TWO_THAT_END_IT)
    assert is_named(explained, NAMED_TWO), named(explained)
    assert explained.is_explained
    assert explained.live.orders < explained.backtest.orders


def test_a_run_without_faults_is_its_backtest(quiet_run: Path) -> None:
    explained = explain_run(quiet_run)
    assert explained.findings == []
    assert explained.replayed.is_same
    assert explained.live.orders == explained.backtest.orders > 20
    assert explained.live.fills == explained.backtest.fills > 20
    assert explained.live.profit_e9 == explained.backtest.profit_e9 != {}
    assert explained.remainder_e9 == {}


def test_the_command_says_so(quiet_run: Path) -> None:
    shown = CliRunner().invoke(app, ["explain", str(quiet_run)])
    assert shown.exit_code == 0
    assert "byte for byte" in shown.stdout
    assert "no difference" in shown.stdout
    facts = json.loads(CliRunner().invoke(app, ["explain", str(quiet_run), "--json"]).stdout)
    assert facts["is_explained"]
    assert facts["replay"]["missing_frames"] == 0
    assert facts["findings"] == facts["warnings"] == []
