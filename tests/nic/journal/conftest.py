"""Segments of a few records."""

import pytest

from crosswire.nic.journal import files
from tests.support.small_journal import SMALL_BYTES


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", SMALL_BYTES)
