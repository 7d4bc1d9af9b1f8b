"""The runs at hand: what can't be made again says so, whatever went wrong."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.engine.console.shelf import Opened, Shelf
from crosswire.engine.errors import ExplainError

pytestmark = pytest.mark.console


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ExplainError("its capture is gone"), "its capture is gone"),
        (RuntimeError("a fault of ours"), "runs/a/b can't be made again: RuntimeError: a fault of ours"),
    ],
)
def test_a_run_that_can_not_be_made_again_is_no_run_that_is_still_being_read(error: Exception, said: str) -> None:
    def fail() -> None:
        raise error

    run: Any = SimpleNamespace(begin=fail, folder=Path("runs/a/b"))
    opened = Opened(run, threading.Lock(), threading.Thread())
    Shelf(Path("runs"), [])._make(opened)
    assert (opened.is_ready, opened.failure) == (False, said)
