"""Every key that tomllib reads is found in the text, at its line, with its own name and value."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.configuration.places import Key, find_places, key_text, line_of
from tests.support.paths import ROOT


def leaves(value: Any, key: Key = ()) -> dict[Key, Any]:
    """Every key with a value that is no table."""
    found = {} if isinstance(value, dict) or not key else {key: value}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        found |= leaves(each, (*key, name))
    return found


def check(text: str) -> None:
    places = find_places(text)
    for key, value in leaves(tomllib.loads(text)).items():
        place = places[key]
        if place.value is None:  # a list of tables by headers
            assert isinstance(value, list)
            continue
        assert tomllib.loads(f"x = {text[slice(*place.value)]}") == {"x": value}
        if isinstance(key[-1], str):
            assert list(tomllib.loads(f"{text[slice(*place.name)]} = 0")) == [key[-1]]
        begin = place.name[0] if isinstance(key[-1], str) else place.value[0]
        assert text[:begin].count("\n") + 1 == place.line


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_every_key_of_the_examples_is_found(path: Any) -> None:
    check(path.read_text())


HARD = '''# a comment = 1
a = 1 # b = 2
"quoted.key" = "x # y"\t
p.q."r s" = { u = [1, { v = 'w' }], t = """
[no]
header = 1""" }
list = [ # first
  "a]",
  'b}',   # = 3
]
[[venue]]
name = 'one'
[venue.live]
groups = []
[[venue.instrument]]
d = 2026-01-01T00:00:00Z
[venue.instrument.limits]
x = -1_000.5e3
[[venue.instrument]]
d = 07:32:00
[[venue]]
name = \'\'\'two'\'\'\'
[venue.instrument]
empty = {}
'''


def test_every_way_to_write_a_key_and_a_value_is_read() -> None:
    check(HARD)
    places = find_places(HARD)
    assert places["venue", 0, "instrument", 1, "d"].line == 20
    assert places["venue", 1].line == 21
    assert line_of(places, ("venue", 0, "live", "interface")) == 13
    assert line_of(places, ("limits",)) == 1
    assert key_text(("venue", 0, "instrument", 1, "d")) == "venue[0].instrument[1].d"


NAMES = st.sampled_from(["a", "b-1", '"c d"', "'e.f'", '"g\\"h"', "_7"])
SCALARS = st.sampled_from(
    ["1", "-2.5", "true", '"x"', "'y'", '"a#b"', "'[z'", "1979-05-27 07:32:00Z", '"""m\nn"""', "'''o'p'''", '"""q"""""']
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: "[" + ", # c\n ".join(each) + "\n]")
        | st.dictionaries(NAMES, inner, max_size=3).map(
            lambda each: "{ " + ", ".join(f"{name} = {value}" for name, value in each.items()) + " }"
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=3),
    st.dictionaries(NAMES, VALUES, max_size=3),
)
def test_made_up_documents_are_read_whole(
    top: dict[str, str], items: list[dict[str, str]], inner: dict[str, str]
) -> None:
    lines = [f"{name} = {value}  # end" for name, value in top.items()]
    for item in items:
        lines += ["[[ list ]]", *(f"{name}={value}" for name, value in item.items()), "[list.inner.deep] # head"]
        lines += [f"{name} = {value}" for name, value in inner.items()]
    check("\n".join(lines))
