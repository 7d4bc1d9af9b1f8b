"""A strategy's parameters, each declared once: unit, range, what it means, and whether it may change while it trades.

    class Parameters(msgspec.Struct, forbid_unknown_fields=True):
        edge_bps: Annotated[Decimal, Parameter("bps", "least edge that starts a trade", least=0, most=100)]
        lots: Annotated[int, Parameter("lots", "of one order", least=1, most=1_000, field="lots")] = 1

Type and default are msgspec's, as of any configuration. What is declared is checked before `build`, all parameters at
once; `crosswire parameters`, the JSON schema, the reference and `crosswire control parameters` show it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_type_hints

import msgspec

from crosswire.nic.memory.struct import Scalar, Struct

Number = int | Decimal


@dataclass(frozen=True)
class Parameter:
    """What is to be known of a parameter beside its type and default. A range holds for each value of a list or table.

    With `field` it may be changed while the run trades: a number of the strategy's struct, "legs.retries" of one in
    place. What is derived from it, `on_parameters` derives anew. `step` is what one in the field is worth, in the unit:
    Decimal("1e-9") of an `_e9` field.
    """

    unit: str  # "" of what is counted in nothing
    about: str
    least: Number | None = None
    most: Number | None = None
    above: Number | None = None  # that it must be more than, in place of `least`
    field: str = ""
    step: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        """Refuse what can't be: ValueError."""
        if self.field and (self.least is None or self.most is None or self.step <= 0):
            raise ValueError(f"{self.field}: what may be changed needs least, most and a step above 0")
        if None not in (self.least, self.most) and self.least > self.most:  # type: ignore[operator]
            raise ValueError(f"least = {self.least} is above most = {self.most}")

    def allows(self, value: Number) -> bool:
        """Tell whether a number is in range; NaN is in none."""
        return (
            value == value
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )

    @property
    def range_text(self) -> str:
        """Say the range, with its unit: "0 to 5000 bps"; "" if there is none."""
        unit = f" {self.unit}" if self.unit else ""
        if self.least is not None and self.most is not None:
            return f"{self.least} to {self.most}{unit}"
        if self.least is not None:
            return f"{self.least} or more{unit}"
        if self.above is not None:
            return f"above {self.above}" + (f" to {self.most}" if self.most is not None else "") + unit
        return f"{self.most} or less{unit}" if self.most is not None else ""


def declared_parameters(kind: type[msgspec.Struct]) -> dict[str, Parameter]:
    """Find what is declared of a strategy's parameters, by name; those of which nothing is are left out."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for each in getattr(hint, "__metadata__", ()):
            if isinstance(each, Parameter):
                found[name] = each
    return found


def has_number(cls: type[Struct], field: str) -> bool:
    """Tell whether a struct class has an i64 of this name; "a.b": one of a struct in place."""
    owner, _, rest = field.partition(".")
    found = cls.fields.get(owner)
    if found is None or found.count is not None or found.is_address:
        return False
    if rest:
        return not isinstance(found.element, Scalar) and has_number(found.element, rest)
    return isinstance(found.element, Scalar) and found.element.name == "i64"


def out_of_range(values: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """Say which parameters are out of their range: names, and what is wrong with each."""
    for name, parameter in declared_parameters(type(values)).items():
        wrong = [each for each in _numbers(getattr(values, name)) if not parameter.allows(each)]
        if wrong:
            yield name, f"{name} = {', '.join(map(str, wrong))}: must be {parameter.range_text}"


def _numbers(value: Any) -> list[Number]:
    """List the numbers of a value; of a NaN none is in any range."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list | tuple | set | frozenset):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | Decimal) and not isinstance(value, bool) else []
