"""A configuration shown whole reads as the same one, and its schema takes what the structs take."""

import json
import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.config import load_config, parse_config
from crosswire.engine.configuration.schema import make_schema
from crosswire.engine.configuration.show import load_source, toml_text
from tests.engine.configuration.test_check import RUNS, SYNTHETIC
from tests.support.paths import ROOT


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_configuration_shown_whole_reads_as_the_same(path: Path) -> None:
    done = CliRunner().invoke(app, ["config", "show", str(path)])
    assert done.exit_code == 0
    assert parse_config(done.output, path) == load_source(path)
    config = load_config(path)
    assert load_source(path) == msgspec.structs.replace(config, strategy=load_source(path).strategy)
    assert "retries = 2\n" in done.output
    assert "sample_interval_ms = 100\n" in done.output
    as_json = json.loads(CliRunner().invoke(app, ["config", "show", "--json", str(path)]).output)
    assert as_json["venue"][0]["limits"]["burst"] == load_config(path).venue[0].limits.burst


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=4)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.decimals(allow_nan=False, allow_infinity=False, places=9)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_document_that_is_written_reads_as_it_was(table: dict[str, Any]) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return str(value) if isinstance(value, datetime) else value

    assert plain(tomllib.loads(toml_text(table), parse_float=Decimal)) == plain(table)


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Judge by the keywords of JSON Schema 2020-12 that the schema has; an unknown one is an error."""
    verdicts = []
    for word, said in schema.items():
        if word == "$ref":
            verdicts.append(fits(value, root["$defs"][said.removeprefix("#/$defs/")], root))
        elif word == "anyOf":
            verdicts.append(any(fits(value, each, root) for each in said))
        elif word == "type":
            verdicts.append(any(is_a(value, each) for each in ([said] if isinstance(said, str) else said)))
        elif word in ("enum", "const"):
            verdicts.append(value in said if word == "enum" else value == said)
        elif word == "properties" and isinstance(value, dict):
            verdicts += [fits(value[name], each, root) for name, each in said.items() if name in value]
        elif word == "required" and isinstance(value, dict):
            verdicts.append(set(said) <= set(value))
        elif word == "additionalProperties" and isinstance(value, dict):
            others = set(value) - set(schema.get("properties", {}))
            verdicts.append(all(said is not False and fits(value[each], said, root) for each in others))
        elif word == "items" and isinstance(value, list):
            verdicts.append(all(fits(each, said, root) for each in value))
        elif word == "allOf":
            verdicts += [fits(value, each, root) for each in said]
        elif word == "if":
            verdicts.append(not fits(value, said, root) or fits(value, schema["then"], root))
        elif word in ("minimum", "maximum", "exclusiveMinimum") and isinstance(value, int | float):
            below = value <= said if word == "exclusiveMinimum" else value < said
            verdicts.append(value <= said if word == "maximum" else not below)
        elif word in ("minItems", "maxItems", "prefixItems", "minimum", "maximum", "exclusiveMinimum", "then"):
            pass  # none of the files below comes near one
        else:
            assert word in ANNOTATIONS or word in ("properties", "required", "additionalProperties", "items"), word
    return all(verdicts)


ANNOTATIONS = ("$schema", "$defs", "title", "description", "default", "format", "contentEncoding", "discriminator")


def is_a(value: Any, kind: str) -> bool:
    kinds = {
        "object": dict, "array": list, "string": (str, datetime), "boolean": bool, "null": type(None),
        "integer": int, "number": (int, float),
    }  # fmt: skip
    return isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_the_schema_takes_the_examples(path: Path) -> None:
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).output)
    assert fits(tomllib.loads(path.read_text()), schema, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss_max = 5_000", "loss_may = 5_000"),
        ("loss_max = 5_000\n", ""),
        ("burst = 50", 'burst = "x"'),
        ('ring = "af_xdp"', 'ring = "af_xdpp"'),
        ('feed = "bridge"', 'feed = "bridges"'),
        ("depth = 3", "depth = 0"),
        ("depth = 3", "deep = 3"),
        ("threshold_bps = 1\n", "threshold_bps = 5001\n"),
        ("size_max = 0.25", "size_max = 0"),
        ("[venue.live]", "[venue.deribit]\nx = 1\n[venue.live]"),
    ],
)
def test_the_schema_refuses_what_the_structs_refuse(old: str, new: str) -> None:
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).output)
    assert old in SYNTHETIC
    assert not fits(tomllib.loads(SYNTHETIC.replace(old, new, 1)), schema, schema)


def test_the_schema_says_what_the_keys_are() -> None:
    live = make_schema()["$defs"]["LiveConfig"]["properties"]
    assert live["core"]["description"] == "that the loop is pinned to"
    parameters = make_schema()["$defs"]["CrossSpreadParameters"]["properties"]
    assert parameters["slippage_ticks"] == {
        "type": "integer",
        "default": 0,
        "minimum": 0,
        "maximum": 1_000_000,
        "description": "of each leg: how far beyond the decided price an order may trade (ticks)",
    }


def test_parameters_are_listed_with_what_is_declared_of_them() -> None:
    done = CliRunner().invoke(app, ["parameters", str(ROOT / "examples" / "synthetic.toml"), "--json"])
    listed = {each["name"]: each for each in json.loads(done.output)}
    assert listed["slippage_ticks"] == {
        "strategy": "cross_spread",
        "name": "slippage_ticks",
        "value": 2,
        "required": False,
        "unit": "ticks",
        "range": "0 to 1000000 ticks",
        "changeable": True,
        "about": "of each leg: how far beyond the decided price an order may trade",
    }
    assert (listed["size_min"]["value"], listed["threshold_bps"]["required"]) == (0, True)
    table = CliRunner().invoke(app, ["parameters", "basis"]).output
    assert "hold_max_s" in table
    refused = CliRunner().invoke(app, ["parameters", "nothing"])
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["config", "show", str(tmp_path)])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
