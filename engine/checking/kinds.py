"""What is known of a value before anything runs: a number and its range, a float, a struct and whose it is, a table.

`UNKNOWN` is what can't be known, and stands for anything: nothing is said about it.
"""

import functools
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from crosswire.nic.journal.journal import Journal
from crosswire.nic.memory.struct import Field, Scalar, StructMeta
from crosswire.risk.position import Position
from crosswire.risk.records import INSTRUMENTS_MAX
from crosswire.strategies.desk import Desk
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument
from crosswire.venues.order import Order, Report


class Owner(Enum):
    """Whose memory it is."""

    OWN = "own"  # the strategy's, or what it fills in for a record
    DESK = "desk"  # the desk itself, some fields of which may be written
    SHOWN = "shown"  # books, positions, instruments, orders: to be read


# What of a desk a strategy writes; all else is asked for, or shown.
DESK_WRITTEN = frozenset({"timer_ns", "catch_up_due", "opportunity", "trade", "plans"})
BY_INSTRUMENT = frozenset({"books", "instruments", "positions"})  # of a desk: one place a market index
SHOWN_CLASSES = frozenset({Book, Instrument, Position, Order, Report, Journal})


@dataclass(frozen=True)
class Plain:
    """A value of which only its sort is known."""

    name: str


UNKNOWN = Plain("unknown")
FLOAT = Plain("a float")
BOOL = Plain("a bool")
NONE = Plain("None")
TEXT = Plain("a string")
MIXED = Plain("of two sorts")  # a struct on one way here and a number on another


@dataclass(frozen=True)
class Number:
    """An integer, from `low` to `high` as far as known. `zero`: read from a book or position, where 0 is ordinary."""

    low: int | None = None
    high: int | None = None
    zero: bool = False

    @property
    def constant(self) -> int | None:
        """The one value that it has."""
        return self.low if self.low is not None and self.low == self.high else None


@dataclass(frozen=True)
class StructOf:
    """A struct of a class."""

    cls: StructMeta
    owner: Owner = Owner.OWN


@dataclass(frozen=True)
class ElementsOf:
    """A table; `count` is None of a pointer's target."""

    element: Any
    count: int | None
    owner: Owner = Owner.OWN


@dataclass(frozen=True)
class TupleOf:
    """A tuple of values."""

    parts: tuple["Kind", ...]


@dataclass(frozen=True)
class Value:
    """A Python object that a name stands for: a function, a class, a module."""

    value: Any


Kind = Plain | Number | StructOf | ElementsOf | TupleOf | Value


NUMBER = Number()  # of which nothing more is known


def constant(value: int) -> Number:
    """Make the kind of one number."""
    return Number(int(value), int(value))


def kind_of_field(field: Field, struct: StructOf) -> Kind:
    """Tell what reading a field gives."""
    owner = struct.owner
    if owner is Owner.DESK:
        owner = Owner.OWN if field.name in DESK_WRITTEN else Owner.SHOWN
    if field.count is not None or field.is_pointer:
        is_by_instrument = struct.cls is Desk and field.name in BY_INSTRUMENT
        return ElementsOf(field.element, INSTRUMENTS_MAX if is_by_instrument else field.count, owner)
    if not isinstance(field.element, Scalar):
        return StructOf(field.element, owner)
    if field.element.is_float:
        return FLOAT
    zero = owner is Owner.SHOWN and struct.cls in (Book, Position) and field.name.endswith("_lots")
    return Number(zero=zero)


def kind_of_element(elements: ElementsOf) -> Kind:
    """Tell what an element of a table is."""
    if isinstance(elements.element, Scalar):
        return FLOAT if elements.element.is_float else Number()
    return StructOf(elements.element, elements.owner)


@functools.lru_cache(maxsize=1024)
def kind_of_class(cls: StructMeta) -> StructOf:
    """Tell what a struct of this class is, and whose."""
    owner = Owner.SHOWN if cls in SHOWN_CLASSES else Owner.OWN
    return StructOf(cls, Owner.DESK if cls is Desk else owner)


def kind_of_annotation(annotation: Any) -> Kind:
    """Tell what a parameter or a result with this annotation is."""
    if annotation is int:
        return NUMBER
    if isinstance(annotation, StructMeta):
        return kind_of_class(annotation)
    if annotation is bool:
        return BOOL
    if annotation is float:
        return FLOAT
    return NONE if annotation is None else UNKNOWN


def loosened(kind: Kind) -> Kind:
    """Forget what is known of a number's range."""
    return NUMBER if isinstance(kind, Number) else kind


def joined(first: Kind, second: Kind) -> Kind:
    """Tell what a value is that is one of two."""
    if first == second:
        return first
    if isinstance(first, Number) and isinstance(second, Number):
        low = None if first.low is None or second.low is None else min(first.low, second.low)
        high = None if first.high is None or second.high is None else max(first.high, second.high)
        return Number(low, high, first.zero or second.zero)
    if {first, second} <= {BOOL} | {each for each in (first, second) if isinstance(each, Number)}:
        return Number()
    if isinstance(first, StructOf) and isinstance(second, StructOf) and first.cls is second.cls:
        return replace(first, owner=Owner.SHOWN if Owner.SHOWN in (first.owner, second.owner) else first.owner)
    if UNKNOWN in (first, second) or isinstance(first, Value) or isinstance(second, Value):
        return UNKNOWN
    if FLOAT in (first, second) and all(each in (FLOAT, BOOL) or isinstance(each, Number) for each in (first, second)):
        return FLOAT  # compiled code makes a float of the other way's integer, too
    if isinstance(first, TupleOf) and isinstance(second, TupleOf) and len(first.parts) == len(second.parts):
        return TupleOf(tuple(joined(one, other) for one, other in zip(first.parts, second.parts, strict=True)))
    kinds = StructOf | ElementsOf | TupleOf
    is_of_a_sort = any(each in (MIXED, NONE) or isinstance(each, kinds) for each in (first, second))
    return MIXED if is_of_a_sort else UNKNOWN


def sort_of(kind: Kind) -> str | None:
    """Name the sort of a value in a few words; None if it is not known."""
    if isinstance(kind, Number) or kind == BOOL:
        return "a number"
    if isinstance(kind, StructOf):
        return f"a {kind.cls.__name__}"
    if isinstance(kind, ElementsOf):
        return "a table"
    if isinstance(kind, TupleOf):
        return "a tuple"
    if isinstance(kind, Value) or kind == UNKNOWN:
        return None
    return kind.name
