"""All mistakes of a configuration at once: each with its line, its key, and what to write instead."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.config import ConfigError, parse_config
from crosswire.engine.configuration.check import check_text
from crosswire.engine.configuration.places import find_places
from tests.engine.configuration.test_places import leaves
from tests.support.paths import ROOT

RUNS = [path for path in sorted((ROOT / "examples").glob("*.toml")) if "[[venue]]" in path.read_text()]
SYNTHETIC = (ROOT / "examples" / "synthetic.toml").read_text()
PATH = ROOT / "examples" / "edited.toml"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_nothing_is_wrong_with_the_examples(path: Path) -> None:
    assert check_text(path.read_text(), path) == []


BAD = """name = "two words/"
loss = 3
[strategy]
use = "cross_spread"
[strategy.parameters]
instruments = ["deribit/BTC-PERPETUAL", 3]
treshold_bps = "x"
depth = 3.5
[limits]
loss_max = true
max_loss = 7
[[venue]]
name = "d"
feed = "deribitt"
limits = { orders_per_second = 1.5, burst = 50 }
[[venue]]
feed = "starbase"
captures = 4
[venue.starbase]
tokens = 3
[venue.live]
ring = "af_xdpp"
[venue.simulation]
feed_latency = { model = "constnt", us = 3 }
orders_per_second = 200
burst = 100
"""


def test_mistakes_of_every_table_are_said_at_once_with_their_lines() -> None:
    said = check_text(BAD, Path("run.toml"))
    for line in (
        "run.toml:2: loss: there is no such key; known here: ",
        "run.toml:6: strategy.parameters.instruments[1] = 3: expected `str`, got `int`; write text in quotes",
        "run.toml:7: strategy.parameters.treshold_bps: there is no such key; write threshold_bps",
        "run.toml:5: strategy.parameters.size_max: is missing; write size_max = a number, as 0.5",
        "run.toml:8: strategy.parameters.depth = 3.5: expected `int`, got `decimal`; write a whole number, as 100",
        "run.toml:9: limits.account: is missing; write account = a table, as { ... }",
        "run.toml:10: limits.loss_max = true: expected `decimal`, got `bool`; write a number, as 0.5",
        "run.toml:11: limits.max_loss: there is no such key; it is called loss_max: `crosswire config migrate`",
        "run.toml:14: venue[0].feed = deribitt: unknown venue deribitt; known are bridge, ",
        "run.toml:15: venue[0].limits.orders_per_second = 1.5: expected `int`, got `decimal`",
        "run.toml:15: venue[0].limits.notional_max: is missing",
        "run.toml:16: venue[1].name: is missing",
        "run.toml:18: venue[1].captures = 4: expected `array`, got `int`; write a list, as [...]",
        "run.toml:20: venue[1].starbase.tokens: there is no such key; write token_burst",
        'run.toml:22: venue[1].live.ring = "af_xdpp": invalid enum value \'af_xdpp\'; write "af_xdp" or ',
        'run.toml:23: venue[1].simulation: feed_latency: model = "constnt": must be one of measured, ',
    ):
        assert [each for each in said if each.startswith(line)], line
    numbers = [int(each.split(":")[1]) for each in said]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (
            {"order_max = 20_000": "order_max = 400_000", "position_max = 5\n": "position_max = 0.1\n"},
            ["limits.order_max of deribit/BTC-PERPETUAL", "limits.order_max of bridge/BTCUSDT"],
        ),
        (
            {'name = "synthetic"': 'name = "a/b"', 'captures = ["../data/synthetic/deribit.pcap"]': "captures = []"},
            ["name = 'a/b': a name is letters", "venue deribit: captures is empty"],
        ),
        ({"net_max = 50_000": "net_max = -1"}, ["limits.underlying.BTC.net_max = -1 must be positive"]),
        (
            {"slippage_ticks = 2": "slippage_ticks = -2"},
            ["strategy.parameters.slippage_ticks = -2: must be 0 to 1000000 ticks"],
        ),
        (
            {"10.98.0.2@239.111.111.1:6100": "239.111.111.1:6100"},
            ["venue deribit: live.groups: 239.111.111.1:6100 names"],
        ),
        (
            {"seconds = 120": "seconds = 0"},
            ["generate.seconds = 0: expected `int` >= 1; write a whole number, as 100, from 1"],
        ),
        ({'use = "cross_spread"': 'use = "crossspread"'}, ["strategy.use = crossspread: neither built in"]),
    ],
)
def test_what_several_keys_say_together_is_checked_as_a_run_does(edits: dict[str, str], expected: list[str]) -> None:
    text = SYNTHETIC
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    said = check_text(text, PATH)
    for each in expected:
        found = [line for line in said if line.split(": ", 1)[1].startswith(each)]
        assert found, (each, said)
        at = int(found[0].split(":")[1])
        assert 1 < at <= text.count("\n")


def test_a_limit_is_shown_at_its_own_line() -> None:
    text = SYNTHETIC.replace("net_max = 50_000", "net_max = -1")
    (said,) = check_text(text, PATH)
    assert text.splitlines()[int(said.split(":")[1]) - 1] == "net_max = -1"


def test_what_is_no_toml_is_said_at_its_line() -> None:
    (said,) = check_text("name = 'x'\nlimits = = 3\n", Path("run.toml"))
    assert said.startswith("run.toml:2: not valid TOML: ")
    (said,) = check_text("name = [", Path("run.toml"))
    assert said.startswith("run.toml:1: not valid TOML: ")


@given(st.data())
def test_a_value_of_the_wrong_kind_is_told_by_both(data: st.DataObject) -> None:
    """Whatever key is spoilt: a run refuses the file exactly when something is said, and that names the key's line."""
    places = find_places(SYNTHETIC)
    keys = [key for key in leaves(tomllib.loads(SYNTHETIC)) if places[key].value is not None]
    key = data.draw(st.sampled_from(keys))
    new = data.draw(st.sampled_from(["true", '"x"', "3", "-1", "0.5", "[]", "{ a = 1 }"]))
    begin, end = places[key].value or (0, 0)
    text = SYNTHETIC[:begin] + new + SYNTHETIC[end:]
    said = check_text(text, PATH)
    try:
        parse_config(text, PATH)
        is_refused = False
    except ConfigError:
        is_refused = True
    assert bool(said) >= is_refused
    if is_refused and not re.search(r"venue\b.*used twice|is missing", " ".join(said)):
        assert any(int(each.split(":")[1]) <= places[key].line for each in said)
