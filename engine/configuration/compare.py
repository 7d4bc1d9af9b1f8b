"""What another configuration means that one does not: by key, with its unit, and of a limit whether it is looser."""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from crosswire.engine.config import InstrumentConfig, RunConfig
from crosswire.engine.configuration.show import value_text, whole_table

Change = Literal["", "looser", "tighter"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One key, by names instead of places in lists; None: it is not there, or not set."""

    key: str
    old: Any
    new: Any
    unit: str = ""
    change: Change = ""


# In tables called limits a higher value lets more happen, but for these.
LOOSER_IF_LOWER = frozenset({("repeated_execution", "window_ms"), ("limits", "self_trade_prevention")})
EITHER_WAY = frozenset({("order_to_trade", "window_ms")})  # it depends on when the messages and the fills come
# Not limits, but what keeps a wrong price out of the books.
SAFEGUARDS = {"check_udp": -1, "any_source": 1, "ignore_definitions": 1}
# A limit that is not set limits nothing; but where none is set nothing is borrowed.
NOTHING_IF_UNSET = "borrow_max"
CONFIGURED = "configured"  # in place of all that a thing has, where the other has no such thing
UNITS = {
    "_ms": "ms",
    "_us": "us",
    "_s": "s",
    "_bps": "bps",
    "_per_second": "per second",
    "_ticks": "ticks",
    "_lots": "lots",
    "_mb": "MB",
}


def compare_configs(old: RunConfig, new: RunConfig) -> list[Difference]:
    """List every key that means something else, in the order of the new configuration, then those that are gone.

    A venue, instrument, strategy or underlying that only one of them has is one difference.
    """
    before, after = _by_name(old), _by_name(new)
    for key in [*after, *before]:
        for prefix in _things(key):
            one, other = (any(each[: len(prefix)] == prefix for each in table) for table in (before, after))
            if one != other:
                for table, has in ((before, one), (after, other)):
                    for each in [each for each in table if each[: len(prefix)] == prefix]:
                        del table[each]
                    if has:
                        table[prefix] = CONFIGURED
    instruments = _instruments(old) | _instruments(new)
    return [
        Difference(
            key=".".join(key),
            old=before.get(key),
            new=after.get(key),
            unit=unit_of(key, instruments),
            change=change_of(key, before.get(key), after.get(key)),
        )
        for key in (*after, *(key for key in before if key not in after))
        if before.get(key) != after.get(key)
    ]


def _things(key: tuple[str, ...]) -> list[tuple[str, ...]]:
    """List the prefixes of a key that name a thing of which there may be several, the outer ones first."""
    if key[0] == "venue":
        return [key[:2], *([key[:4]] if key[2:3] == ("instrument",) and len(key) > 4 else [])]
    return [key[:2]] if key[0] == "strategy" else [key[:3]] if key[:2] == ("limits", "underlying") else []


def _by_name(config: RunConfig) -> dict[tuple[str, ...], Any]:
    """List the keys with a value, by names where the configuration has lists of tables."""
    table = whole_table(config)
    table["strategy"] = {each.get("name") or each["use"]: each for each in _listed(table["strategy"])}
    table["venue"] = {
        venue["name"]: venue | {"instrument": {each["symbol"]: each for each in venue["instrument"]}}
        for venue in table["venue"]
    }
    return dict(_leaves(table, ()))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _leaves(value: Any, key: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, dict) or not value:
        return [(key, value)]
    return [leaf for name, each in value.items() for leaf in _leaves(each, (*key, name))]


def _instruments(config: RunConfig) -> dict[tuple[str, str], InstrumentConfig]:
    return {(venue.name, each.symbol): each for venue in config.venue for each in venue.instrument}


def unit_of(key: tuple[str, ...], instruments: dict[tuple[str, str], InstrumentConfig]) -> str:
    """Say what a key is counted in; "" if it is no quantity, or its name does not tell."""
    name = key[-1]
    for suffix, unit in UNITS.items():
        if name.endswith(suffix) or name == suffix[1:]:
            return unit
    if key[0] == "venue" and len(key) > 4 and key[2] == "instrument" and (key[1], key[3]) in instruments:
        terms = instruments[key[1], key[3]]
        if name in ("order_max", "position_max", "borrow_max", "lot", "contract"):
            return terms.quote if terms.payoff == "inverse" else terms.base
        if name in ("order_notional_max", "price_max", "tick"):
            return terms.quote
    if name in ("delta_max", "unhedged_max", "hedged_within") and key[:2] == ("limits", "underlying"):
        return key[2]
    if name in ("gross_max", "net_max", "notional_max", "loss_max", "realised_loss_max"):
        return "quote currency"
    return ""


def change_of(key: tuple[str, ...], old: Any, new: Any) -> Change:
    """Say whether a change lets more happen, or less; "" where that can't be said of the key."""
    direction = direction_of(key)
    if direction == 0 or not all(isinstance(each, int | Decimal | None) for each in (old, new)):
        return ""
    if key[-1] in SAFEGUARDS and None in (old, new):
        return ""  # the table around it came or went
    before, after = (_limit(value, key, direction) for value in (old, new))
    return "" if before == after else "looser" if after > before else "tighter"


def direction_of(key: tuple[str, ...]) -> int:
    """Tell which way a key is loosened: 1 by a higher value, -1 by a lower one, 0 if it is no limit."""
    if "limits" not in key:
        return SAFEGUARDS.get(key[-1], 0)
    if key[-2:] in LOOSER_IF_LOWER:
        return -1
    return 0 if key[-2:] in EITHER_WAY else 1


def _limit(value: Any, key: tuple[str, ...], direction: int) -> Decimal:
    """Give what is allowed as a number that is higher the more it is."""
    if value is None:
        return Decimal(0) if key[-1] == NOTHING_IF_UNSET else Decimal("inf")
    return direction * Decimal(value)


def difference_lines(found: list[Difference]) -> list[str]:
    """Write differences for a person, a line each, the loosened ones counted at the end."""
    lines = []
    for each in found:
        unit = f" {each.unit}" if each.unit else ""
        change = f" ({each.change})" if each.change else ""
        lines.append(f"{each.key}: {_text(each.old)} -> {_text(each.new)}{unit}{change}")
    counts = {change: sum(each.change == change for each in found) for change in ("looser", "tighter")}
    lines.append(f"{len(found)} differences; limits: {counts['looser']} looser, {counts['tighter']} tighter")
    return lines


def _text(value: Any) -> str:
    return "not set" if value is None else value_text(value)
