"""The BTC example, run once for all tests of the console."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.console.replayed import ReplayedRun
from crosswire.engine.journal.description import read_description
from crosswire.engine.runs import journal_in
from tests.support.console import chromium, make_run


def replayed(folder: Path) -> ReplayedRun:
    description = read_description(journal_in(folder))
    assert description is not None
    run = ReplayedRun(folder, description)
    run.begin()
    return run


@pytest.fixture(scope="session")
def btc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="session")
def btc_run(btc: Path) -> ReplayedRun:
    return replayed(btc)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started
