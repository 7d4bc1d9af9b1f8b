"""What tests of the doctor share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.support.bad_network import bad_network


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the record of this test's mends is, and no other."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "crosswire" / "doctor-undo.json"


@pytest.fixture
def bad(state: Path) -> Iterator[Testbed]:
    """A network that is made badly on purpose."""
    with bad_network() as network:
        yield network
