"""A run that its operators may command: a network, a configuration with [control], and two clients' keys."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.support.command import ask
from tests.support.live_setup import make_config
from tests.support.net import own_testbed
from tests.support.run_operator import MARKET_S


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short path: a socket's has 107 bytes at most (unix(7)), of which pytest's own folders leave too few."""
    with TemporaryDirectory(prefix="cw-") as folder:
        yield Path(folder)


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("mo", links=2) as testbed:
        yield testbed


@pytest.fixture
def config(testbed: Testbed, tmp_path: Path) -> Path:
    path = make_config(tmp_path, testbed, seconds=MARKET_S)
    path.write_text(f'{path.read_text()}\n[control]\nkeys = "keys"\n')
    for name, role in (("olga", "operator"), ("tess", "trader")):
        assert ask("control", "keys", path, name, "--role", role)[0] == 0
    return path
