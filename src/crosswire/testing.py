"""Tests of a strategy: books set by hand, an exchange that answers as told, and what must hold of every strategy.

    from crosswire.testing import Harness, check_properties, linear, miss

`check_properties` needs hypothesis, the extra `testing`; nothing else here does.
"""

from typing import TYPE_CHECKING, Any

from crosswire.engine.testing.answers import (
    Answer,
    Change,
    Sent,
    SentQuote,
    accept,
    fill,
    ignore,
    miss,
    refuse,
    reject,
    rest,
    veto,
)
from crosswire.engine.testing.harness import LEG_PARAMETERS, START_NS, Harness
from crosswire.engine.testing.instruments import exact, inverse, linear
from crosswire.strategies.desk import AMEND_ORDER, CANCEL_BY_ID, CANCEL_ORDER, QUOTE

if TYPE_CHECKING:
    from crosswire.engine.testing.properties import check_properties

__all__ = [
    "AMEND_ORDER",
    "CANCEL_BY_ID",
    "CANCEL_ORDER",
    "LEG_PARAMETERS",
    "QUOTE",
    "START_NS",
    "Answer",
    "Change",
    "Harness",
    "Sent",
    "SentQuote",
    "accept",
    "check_properties",
    "exact",
    "fill",
    "ignore",
    "inverse",
    "linear",
    "miss",
    "refuse",
    "reject",
    "rest",
    "veto",
]


def __getattr__(name: str) -> Any:
    if name == "check_properties":
        from crosswire.engine.testing.properties import check_properties

        return check_properties
    raise AttributeError(f"crosswire.testing has no {name}")
