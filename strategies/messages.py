"""What a strategy says while it trades: lines of a declared list, with up to four numbers in their places.

    @classmethod
    def messages(cls) -> list[str]:
        return ["{side} quote of {instrument} moved to {} ticks, edge {e9} USD"]

    log(desk, MOVED, order.side, order.instrument, order.price_ticks, edge_e9)

Compiled code writes the number of the line and the values; the text is made outside the loop, by what reads the record.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from string import Formatter
from typing import Any

from crosswire.venues.instrument import E9

PLACES_MAX = 4  # of one message
MESSAGES_MAX = 256  # of one strategy
LETTERS_MAX = 200  # of one message
KINDS = ("", "e9", "instrument", "side")  # of a place: a number, 1e-9 of one, a market index, BUY or SELL
SIDES = ("buy", "sell")


def places_of(message: str) -> list[str]:
    """List the kinds of a message's places. ValueError with one line: it is none that can be written."""
    try:
        parts = [part for part in Formatter().parse(message) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"{message!r}: {error}; write {{{{ and }}}} for braces that are meant") from None
    for _, kind, spec, conversion in parts:
        if kind not in KINDS or spec or conversion:
            known = ", ".join(f"{{{each}}}" for each in KINDS)
            raise ValueError(f"{message!r}: a place is one of {known}, without more")
    if len(parts) > PLACES_MAX:
        raise ValueError(f"{message!r}: has {len(parts)} places, and {PLACES_MAX} is the most")
    if len(message) > LETTERS_MAX or not message.isprintable() or not message.strip():
        raise ValueError(f"{message!r}: is to be one line of 1 to {LETTERS_MAX} letters")
    return [str(kind) for _, kind, _, _ in parts]


def declared_messages(cls: Any) -> tuple[list[str], list[str]]:
    """Give the messages of a strategy class, and what is wrong with them, a line each: then there are none."""
    try:
        messages = cls.messages()
    except Exception as error:  # the author's own code
        return [], [f"messages() raises {type(error).__name__}: {error}"]
    wrong = list(_wrong_messages(messages))
    return ([] if wrong else list(messages)), wrong


def _wrong_messages(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list | tuple) or not all(isinstance(each, str) for each in messages):
        yield f"messages() gives {messages!r}, not a list of texts"
        return
    if len(messages) > MESSAGES_MAX:
        yield f"messages() gives {len(messages)} texts, and {MESSAGES_MAX} are the most"
    for message in messages:
        try:
            places_of(message)
        except ValueError as error:
            yield str(error)


def message_text(messages: Sequence[str], number: int, values: Sequence[int], instruments: Sequence[str]) -> str:
    """Write a line out; what has no name, or no message, as its number."""
    if not 0 <= number < len(messages):
        return f"message {number}: {', '.join(map(str, values))}"
    kinds = iter(zip(places_of(messages[number]), values, strict=False))
    return "".join(
        literal + ("" if kind is None else _value_text(*next(kinds), instruments))
        for literal, kind, _, _ in Formatter().parse(messages[number])
    )


def _value_text(kind: str, value: int, instruments: Sequence[str]) -> str:
    if kind == "e9":
        return f"{Decimal(value) / E9:f}"
    if kind == "instrument" and 0 <= value < len(instruments):
        return instruments[value]
    if kind == "side" and 0 <= value < len(SIDES):
        return SIDES[value]
    return str(value)
