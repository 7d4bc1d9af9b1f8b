"""What a configuration means otherwise than another: by key, with units, and which limits got looser."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.config import RunConfig
from crosswire.engine.configuration.compare import change_of, compare_configs
from crosswire.engine.configuration.show import load_source
from crosswire.risk.limits import (
    AccountLimitsConfig,
    InstrumentLimitsConfig,
    LegRiskConfig,
    OrderToTradeConfig,
    RepeatedExecutionConfig,
    RunLimitsConfig,
    StrategyLimitsConfig,
    UnderlyingLimitsConfig,
    VenueLimitsConfig,
)
from tests.engine.configuration.test_check import SYNTHETIC


def read(edit: Callable[[str], str] = lambda text: text) -> RunConfig:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.toml")
        path.write_text(edit(SYNTHETIC))
        return load_source(path)


def differences(edit: Callable[[str], str]) -> list[tuple[Any, ...]]:
    return [(each.key, each.old, each.new, each.unit, each.change) for each in compare_configs(read(), read(edit))]


BTC = "venue.deribit.instrument.BTC-PERPETUAL"
USDT = "venue.bridge.instrument.BTCUSDT"
RING = 'require = "generic"\ninterface = "cwe0"'


@pytest.mark.parametrize(
    ("old", "new", "key", "values", "unit", "change"),
    [
        ("loss_max = 5_000", "loss_max = 4_000", "limits.loss_max", (5000, 4000), "quote currency", "tighter"),
        ("order_max = 20_000", "order_max = 30_000", f"{BTC}.limits.order_max", (20000, 30000), "USD", "looser"),
        ("position_max = 5\n", "position_max = 4\n", f"{USDT}.limits.position_max", (5, 4), "BTC", "tighter"),
        ("prevention = true", "prevention = false", "limits.self_trade_prevention", (True, False), "", "looser"),
        ("delta_max = 20", "delta_max = 21", "limits.underlying.BTC.delta_max", (20, 21), "BTC", "looser"),
        ("wn_us = 2_000", "wn_us = 1_000", "strategy.cross_spread.parameters.cooldown_us", (2000, 1000), "us", ""),
        (
            "[limits.account]",
            "dead_man_ms = 9_000\n[limits.account]",
            "limits.dead_man_ms",
            (None, 9000),
            "ms",
            "tighter",
        ),
        (RING, f"check_udp = false\n{RING}", "venue.deribit.live.check_udp", (True, False), "", "looser"),
    ],
)
def test_each_change_is_told_by_names_with_its_unit(
    old: str, new: str, key: str, values: tuple[Any, Any], unit: str, change: str
) -> None:
    assert old in SYNTHETIC
    assert differences(lambda text: text.replace(old, new, 1)) == [(key, *values, unit, change)]


def test_what_is_only_written_otherwise_is_no_difference() -> None:
    assert differences(lambda text: "# hello\nversion = 1\n" + text.replace("5_000", "5000.0")) == []
    assert differences(lambda text: text.replace("cooldown_us", "retries = 2\ncooldown_us")) == []
    venues = SYNTHETIC.split("[[venue]]")
    assert differences(lambda _text: "[[venue]]".join([venues[0], venues[2], venues[1]])) == []


def test_a_thing_that_only_one_has_is_one_difference_and_no_looser_limit() -> None:
    begin = SYNTHETIC.rindex("[[venue]]")
    found = differences(lambda text: text[:begin].replace(', "bridge/BTCUSDT"]', "]"))
    assert ("venue.bridge", "configured", None, "", "") in found
    assert len(found) == 2


DIRECTIONS = {
    InstrumentLimitsConfig: {
        1: "order_max order_notional_max position_max price_max price_collar_bps book_age_max_ms mark_age_max_ms"
        " borrow_max"
    },
    OrderToTradeConfig: {1: "messages_per_fill_max messages_min", 0: "window_ms"},
    VenueLimitsConfig: {1: "orders_per_second burst open_orders_max notional_max"},
    LegRiskConfig: {1: "unhedged_max hedged_within unhedged_ms_max"},
    UnderlyingLimitsConfig: {1: "gross_max net_max delta_max price_band_bps"},
    AccountLimitsConfig: {1: "gross_max net_max orders_per_second burst"},
    RepeatedExecutionConfig: {1: "fills_max", -1: "window_ms"},
    StrategyLimitsConfig: {1: "notional_max loss_max"},
    RunLimitsConfig: {1: "loss_max realised_loss_max dead_man_ms", -1: "self_trade_prevention"},
}
TABLES = {
    OrderToTradeConfig: ("venue", "v", "limits", "order_to_trade"),
    RepeatedExecutionConfig: ("limits", "repeated_execution"),
    LegRiskConfig: ("limits", "underlying", "BTC", "leg_risk"),
}


@pytest.mark.parametrize("kind", DIRECTIONS, ids=lambda kind: kind.__name__)
def test_of_every_limit_there_is_it_is_known_which_way_is_looser(kind: type[msgspec.Struct]) -> None:
    known = {name: sign for sign, names in DIRECTIONS[kind].items() for name in names.split()}
    tables = {each.encode_name for each in msgspec.structs.fields(kind) if "Config" in str(each.type)}
    assert {each.encode_name for each in msgspec.structs.fields(kind)} - tables == set(known)
    table = TABLES.get(kind, ("limits",))
    for name, sign in known.items():
        words = {1: ("looser", "tighter"), -1: ("tighter", "looser"), 0: ("", "")}[sign]
        assert (change_of((*table, name), 1, 2), change_of((*table, name), 2, 1)) == words, name


def test_a_limit_that_is_switched_off_is_looser_but_nothing_is_borrowed_where_nothing_is_said() -> None:
    assert change_of(("limits", "underlying", "BTC", "price_band_bps"), 50, None) == "looser"
    assert change_of(("limits", "repeated_execution", "window_ms"), 50, None) == "looser"
    assert change_of(("venue", "v", "instrument", "i", "limits", "borrow_max"), 50, None) == "tighter"


def test_the_command_tells_by_its_exit_code_and_takes_a_run(tmp_path: Path) -> None:
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text(SYNTHETIC)
    other.write_text(SYNTHETIC.replace("loss_max = 5_000", "loss_max = 6_000"))
    run = CliRunner()
    assert run.invoke(app, ["config", "diff", str(same), str(same)]).exit_code == 0
    done = run.invoke(app, ["config", "diff", str(same), str(other)])
    assert (done.exit_code, done.output.splitlines()) == (
        1,
        ["limits.loss_max: 5000 -> 6000 quote currency (looser)", "1 differences; limits: 1 looser, 0 tighter"],
    )
    as_json = run.invoke(app, ["config", "diff", str(same), str(other), "--json"])
    assert json.loads(as_json.output) == [
        {"key": "limits.loss_max", "old": 5000, "new": 6000, "unit": "quote currency", "change": "looser"}
    ]
    none = run.invoke(app, ["config", "diff", str(same), str(tmp_path)])
    assert (none.exit_code, none.stderr.count("\n")) == (2, 1)
    assert "holds no journal" in none.stderr
