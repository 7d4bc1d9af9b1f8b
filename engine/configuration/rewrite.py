"""Setting keys in a TOML document where they stand, so that its comments and its order stay as somebody wrote them."""

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from crosswire.engine.configuration.places import Key, find_places
from crosswire.engine.configuration.show import key_name, toml_text, value_text

MISSING = object()


def rewritten(text: str, changed: dict[str, Any]) -> str:
    """Give the document `text` with the values of `changed`, which has all its keys.

    Where a key can't be set in place, as in a table that has no header, all is written anew, without comments.
    """
    edits = list(_edits(text, tomllib.loads(text, parse_float=Decimal), changed))
    result = text
    for (begin, end), new in sorted(edits, reverse=True):
        result = result[:begin] + new + result[end:]
    try:
        is_same = tomllib.loads(result, parse_float=Decimal) == changed
    except tomllib.TOMLDecodeError:
        is_same = False
    return result if is_same else toml_text(changed)


def _edits(text: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[tuple[int, int], str]]:
    """List spans of the text, and what is to stand there."""
    places = find_places(text)
    for key, value in _differences(before, after, ()):
        place = places.get(key)
        if place is not None and place.value is not None:
            yield place.value, value_text(value)
            continue
        line = f"{key_name(str(key[-1]))} = {value_text(value)}\n"
        if len(key) == 1:
            yield (0, 0), line
        elif (table := places.get(key[:-1])) is not None:
            if table.value is not None:  # a table in line, of which there is no second line
                begin, end = table.value
                separator = ", " if text[begin + 1 : end - 1].strip() else " "
                yield (end - 1, end - 1), f"{separator}{line.strip()} "
                continue
            end_of_line = text.find("\n", table.name[1])
            if end_of_line < 0:
                yield (len(text), len(text)), f"\n{line}"
            else:
                yield (end_of_line + 1, end_of_line + 1), line


def _differences(before: Any, after: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """List what is otherwise in `after`, as far inside as both have the same tables."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in after.items():
            yield from _differences(before.get(name, MISSING), value, (*key, name))
    elif _are_tables(before) and _are_tables(after) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, (*key, number))
    elif before is MISSING or type(before) is not type(after) or before != after:
        yield key, after


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
