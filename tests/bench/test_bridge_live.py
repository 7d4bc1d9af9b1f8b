"""A short part of `crosswire bench bridge-live`: the engine live on the bridge to Binance, with faults on each side."""

from pathlib import Path

import pytest

from tests.bench.bridge_live import is_good, measure, show
from tests.support.net import own_testbed

pytestmark = [pytest.mark.netns, pytest.mark.binance]
SECONDS, FAULTS = 60, 3


def test_all_accounts_and_books_agree_whatever_fails(tmp_path: Path) -> None:
    with own_testbed("bl", links=2) as testbed:
        figures = measure(tmp_path, testbed, SECONDS, FAULTS)
    show(figures)
    assert is_good(figures), figures
    assert figures["orders"] > 50
    assert figures["fills"] > 20
    kinds = figures["recoveries_ms"]
    assert sum(row["struck"] for row in kinds.values()) == 4 * FAULTS
    # A gap that costs no book, or a cut that nobody notices, would be no test of a recovery.
    assert sum(row["cost"] for row in kinds.values()) > 3 * FAULTS
