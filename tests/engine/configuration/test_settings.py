"""Keys that are set beside the file: by name, in what the run reads and keeps, and refused in one line."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crosswire.engine.backtest import run_backtest
from crosswire.engine.config import ConfigError, parse_config, parse_toml
from crosswire.engine.configuration.rewrite import rewritten
from crosswire.engine.configuration.settings import parse_value, set_text, with_settings
from crosswire.engine.configuration.show import load_source, value_text
from crosswire.engine.report.console import print_summary
from crosswire.engine.report.summary import read_summary
from crosswire.engine.simulate.command import seeded_config
from tests.support.command import ask
from tests.support.paths import ROOT
from tests.support.short_run import two_seconds

SYNTHETIC = ROOT / "examples" / "synthetic.toml"
TEXT = SYNTHETIC.read_text()
SPACED = TEXT.replace('symbol = "BTCUSDT"', 'symbol = "BTC.USDT"').replace("bridge/BTCUSDT", "bridge/BTC.USDT")
SEVERAL = TEXT.replace("[strategy]", '[[strategy]]\nname = "slow"').replace(
    "# For `crosswire exchange`", '[[strategy]]\nname = "fast"\nuse = "cross_spread"\n# For `crosswire exchange`'
)


UNDERLYING = ["limits", "underlying", "BTC", "leg_risk"]


def document(text: str = TEXT) -> dict[str, Any]:
    return parse_toml(text, SYNTHETIC)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("threshold_bps=3", ["strategy", "parameters", "threshold_bps"], 3),
        ("strategy.parameters.threshold_bps = 2.5", ["strategy", "parameters", "threshold_bps"], Decimal("2.5")),
        ("strategy.cross_spread.parameters.depth=5", ["strategy", "parameters", "depth"], 5),
        ("name=other", ["name"], "other"),
        ('name="other"', ["name"], "other"),
        ("limits.loss_max=500", ["limits", "loss_max"], 500),
        ("limits.underlying.BTC.net_max=7", ["limits", "underlying", "BTC", "net_max"], 7),
        ("limits.underlying.BTC.leg_risk.hedged_within=1", UNDERLYING, {"hedged_within": 1}),
        ("venue.bridge.limits.burst=9", ["venue", 1, "limits", "burst"], 9),
        ("venue.bridge.instrument.BTCUSDT.limits.order_max=1", ["venue", 1, "instrument", 0, "limits", "order_max"], 1),
        ("venue.deribit.simulation.order_latency.us=9", ["venue", 0, "simulation", "order_latency", "us"], 9),
        ("live.lock_memory=false", ["live", "lock_memory"], False),
    ],
)  # fmt: skip
def test_a_key_is_set_by_its_name_and_nothing_else_changes(setting: str, path: list[Any], value: object) -> None:
    before = document()
    changed = with_settings(before, [setting])
    assert before == document()
    outer: Any = changed
    wanted: Any = before
    for step in path[:-1]:
        outer, wanted = outer[step], wanted[step]
    assert outer[path[-1]] == value
    wanted[path[-1]] = value
    assert changed == before


def test_names_with_dots_and_several_strategies_are_found() -> None:
    changed = with_settings(document(SPACED), ["venue.bridge.instrument.BTC.USDT.limits.order_max=1"])
    assert changed["venue"][1]["instrument"][0]["limits"]["order_max"] == 1
    changed = with_settings(document(SEVERAL), ["strategy.fast.parameters.depth=5", "strategy.fast.parameters.depth=6"])
    assert [each.get("parameters", {}).get("depth") for each in changed["strategy"]] == [3, 6]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("limits.loss_mx=3", "there is no loss_mx; did you mean loss_max?"),
        ("limits=3=4", "limits"),
        ("venue.deribt.limits.burst=3", "there is no deribt; did you mean deribit.KEY?"),
        ("limits.underlying.ETH.net_max=7", "there is no ETH; known here: BTC.KEY"),
        ("limits.loss_max.x=3", "loss_max is no table"),
        ("venue.bridge.simulation.feed_latency.us=5", "feed_latency is no table"),
        ("venue.bridge.bridge.foo=3", "there is no foo"),
        ("strategy.cross_spred.parameters.depth=3", "there is no cross_spred; did you mean cross_spread.KEY?"),
        ("nothing", "must be KEY=VALUE"),
        ("=3", "must be KEY=VALUE"),
        ("limits..x=1", "must be KEY=VALUE"),
        ("treshold_bps=3", "did you mean `threshold_bps`?"),
        ("depth=deep", "depth = deep: expected `int`"),
    ],
)
def test_what_can_not_be_set_is_one_line(setting: str, said: str) -> None:
    status, out, errors = ask("config", "show", SYNTHETIC, "--set", setting)
    assert (status, out) == (1, [])
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_short_name_belongs_to_the_only_strategy() -> None:
    with pytest.raises(
        ConfigError, match=r"write strategy\.slow\.parameters\.depth, strategy\.fast\.parameters\.depth"
    ):
        with_settings(document(SEVERAL), ["depth=3"])


@given(st.text(max_size=12) | st.sampled_from(["1\nname = 2", "'''", "[1, 2]", "{a = 1}", "1 # x", "nan", "-inf"]))
def test_every_value_is_one_that_toml_can_hold(written: str) -> None:
    value = parse_value(written)
    again = tomllib.loads(f"value = {value_text(value)}", parse_float=Decimal)
    assert list(again) == ["value"]
    assert repr(again["value"]) == repr(value) or again["value"] == value


def test_a_text_with_nothing_set_is_the_same_text() -> None:
    assert set_text(TEXT, SYNTHETIC, []) == TEXT
    changed = set_text(TEXT, SYNTHETIC, ["threshold_bps=3"])
    assert parse_config(changed, SYNTHETIC).strategies[0].parameters["threshold_bps"] == 3


def test_what_is_set_stands_in_its_place_and_comments_stay() -> None:
    """A value, a key of a table in line, one that a table lacks, one at the top: all else is as it was written."""
    settings = [
        "threshold_bps=3",
        "venue.bridge.limits.burst=7",
        "limits.realised_loss_max=50",
        "sample_interval_ms=50",
        "venue.deribit.instrument.BTC-PERPETUAL.limits.price_max=900_000",
    ]
    changed = set_text(TEXT, SYNTHETIC, settings)
    assert tomllib.loads(changed, parse_float=Decimal) == with_settings(document(TEXT), settings)
    before, after = TEXT.splitlines(), changed.splitlines()
    gone = [line for line in before if line not in after and not line.startswith("limits = {")]
    assert gone == ["threshold_bps = 1"]
    assert {"threshold_bps = 3", "realised_loss_max = 50", "sample_interval_ms = 50", "price_max = 900000"} <= set(
        after
    )
    comments = [line for line in before if "#" in line]
    assert comments
    assert set(comments) <= set(after)
    assert len(after) == len(before) + 2


@given(
    st.lists(
        st.sampled_from(
            ["a=1", "b.c=2", "b.d='x'", "t.x=[1, 2]", "t.inline.y=3", "t.inline.z=4", "list=[]", "t.new={ q = 1 }"]
        ),
        max_size=5,
    )
)
def test_a_document_that_is_set_in_place_means_what_it_is_to(settings: list[str]) -> None:
    text = 'a = 0 # one\nlist = [1, 2]\nb.c = 1\n\n[t] # a table\nx = [\n 1, # in it\n]\ninline = { y = "}" }\n'
    changed = tomllib.loads(text, parse_float=Decimal)
    for setting in settings:
        name, _, value = setting.partition("=")
        *tables, last = name.split(".")
        table = changed
        for each in tables:
            table = table[each]
        table[last] = parse_value(value)
    result = rewritten(text, changed)
    assert tomllib.loads(result, parse_float=Decimal) == changed
    if not any(each.startswith("b.d") for each in settings):  # a table that has no header, so no place for a new key
        assert "# one" in result
        assert "[t] # a table" in result


def test_check_looks_at_what_is_set_and_simulate_plays_it(tmp_path: Path) -> None:
    status, lines, _ = ask("config", "check", SYNTHETIC, "--set", "venue.bridge.limits.burst=many")
    assert status == 1
    assert "venue[1].limits.burst" in lines[0]
    burst = TEXT.index("limits = {", TEXT.index('name = "bridge"'))
    assert lines[0].startswith(f"{SYNTHETIC}:{TEXT.count(chr(10), 0, burst) + 1}:")
    played = seeded_config(SYNTHETIC, tmp_path, 5, ["generate.seed=9", "limits.loss_max=77"])
    assert played.limits.loss_max == 77
    assert played.generate is not None
    assert played.generate.seed == 5


def test_a_run_trades_by_what_was_set_keeps_it_and_says_so(tmp_path: Path) -> None:
    """The threshold is met by nearly any book: there are orders, where the file alone has none in two seconds."""
    config = two_seconds(tmp_path, seed=7)
    settings = ["threshold_bps=-8", "close_threshold_bps=-9"]
    folder = run_backtest(config, tmp_path / "runs", started=0.0, with_report=True, settings=settings)
    summary = read_summary(folder)
    assert summary.orders_sent > 0
    assert summary.settings == settings
    kept = load_source(folder)
    assert kept.strategies[0].parameters["threshold_bps"] == -8
    assert (tmp_path / "runs" / "synthetic" / "latest").resolve() == folder.resolve()
    console = Console(record=True, width=100)
    print_summary(summary, console)
    assert "threshold_bps=-8" in console.export_text()
    assert "threshold_bps=-8" in (folder / "report.html").read_text()
    assert parse_config((folder / "config.toml").read_text(), config).strategies[0].parameters["threshold_bps"] == -8
    plain = read_summary(run_backtest(config, tmp_path / "runs", started=0.0, with_report=False))
    assert plain.orders_sent == 0
    assert plain.settings == []
