"""Where each key of a TOML document stands: its line, and the text of its name and value.

`tomllib` says what a document means and not where; this reads only documents that it took.
Source: https://toml.io/en/v1.0.0.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str | int, ...]  # a path of names, and of places in lists
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[^,\]}#\n]*")
_KEY = re.compile(r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[ \t.])+""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|'
    r"'''(?:.|\n)*?'{3,5}(?!')|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)


@dataclass(frozen=True)
class Place:
    """Where a key's last name is, from 1, and the span of its text; `value` is None for a table's header."""

    line: int
    name: tuple[int, int]
    value: tuple[int, int] | None


@dataclass
class _Reader:
    text: str
    at: int = 0
    places: dict[Key, Place] = field(default_factory=dict)
    lengths: dict[Key, int] = field(default_factory=dict)  # of lists of tables, so far

    def document(self) -> None:
        table: Key = ()
        while self.skip_blank():
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def skip_blank(self) -> bool:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def header(self) -> Key:
        is_list = self.text.startswith("[[", self.at)
        self.at += 1 + is_list
        names, span = self.names()
        self.at += 1 + is_list
        key: Key = ()
        for name in names[:-1]:
            key = self.last((*key, name))
        key = (*key, names[-1])
        if is_list:
            self.lengths[key] = self.lengths.get(key, 0) + 1
            self.note(key, span, None)
        key = self.last(key)
        self.note(key, span, None)
        return key

    def last(self, key: Key) -> Key:
        """Of a list of tables its last one; else the table itself."""
        return (*key, self.lengths[key] - 1) if key in self.lengths else key

    def note(self, key: Key, name: tuple[int, int], value: tuple[int, int] | None) -> None:
        self.places.setdefault(key, Place(self.text.count("\n", 0, name[0]) + 1, name, value))

    def names(self) -> tuple[list[str], tuple[int, int]]:
        """Read a dotted key, and where its last name stands."""
        found = _KEY.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        written = found[0].rstrip(" \t")
        inner: Any = tomllib.loads(f"{written} = 0")
        names: list[str] = []
        while isinstance(inner, dict):
            ((name, inner),) = inner.items()
            names.append(name)
        last = re.findall(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""", written)[-1]
        begin = found.start() + written.rindex(last)
        return names, (begin, begin + len(last))

    def pair(self, table: Key) -> None:
        names, span = self.names()
        self.at += 1  # the "="
        key = table
        for name in names:
            key = (*key, name)
            if key[:-1] not in self.places and len(key) - 1 > len(table):
                self.note(key[:-1], span, None)
        self.value(key, span)

    def value(self, key: Key, name: tuple[int, int] | None) -> None:
        """Read a value; `name` is the span of what names it, None in a list."""
        self.skip_blank()
        begin = self.at
        # Before what is inside, which is noted as it is read.
        self.places[key] = Place(
            self.text.count("\n", 0, begin if name is None else name[0]) + 1, name or (begin, begin), None
        )
        if (string := _STRING.match(self.text, begin)) is not None:
            self.at = string.end()
        elif self.text[begin] in "[{":
            self.inside(key, "]" if self.text[begin] == "[" else "}")
        else:
            bare = _BARE.match(self.text, begin)
            self.at = begin + len(bare[0].rstrip() if bare else "")
        self.places[key] = Place(self.places[key].line, self.places[key].name, (begin, self.at))

    def inside(self, key: Key, end: str) -> None:
        """Read the list or inline table that begins here."""
        self.at += 1
        number = 0
        while self.skip_blank() and self.text[self.at] != end:
            if end == "]":
                self.value((*key, number), None)
                number += 1
            else:
                self.pair(key)
            self.skip_blank()
            self.at += self.text[self.at] == ","
        self.at += 1


def find_places(text: str) -> dict[Key, Place]:
    """Find every key of a valid document, tables and items of lists as well, in the order of the text."""
    reader = _Reader(text)
    reader.document()
    return reader.places


def line_of(places: dict[Key, Place], key: Key) -> int:
    """Tell the line of a key or, where it is missing, of the nearest table around it; 1 if there is none."""
    while key and key not in places:
        key = key[:-1]
    return places[key].line if key else 1


def key_text(key: Key) -> str:
    """Write a key as the errors of a configuration do: venue[0].limits.burst."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in key).removeprefix(".")
