"""Orders to a simulated Starbase over our own TCP: logon to logout, bad wires, gateways that die."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nic.tcp_state import SECOND_NS
from nic.testbed import Testbed
from tests.net import needs_root
from tests.starbase_wire_setup import Client, Venue, make_driver
from venues.order import SessionState

pytestmark = [pytest.mark.starbase, pytest.mark.tcp]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    needs_root()
    with Testbed(f"sw{os.getpid() % 100000}") as network:
        yield network


@pytest.mark.netns
def test_logon_to_logout(testbed: Testbed, tmp_path: Path) -> None:
    with Venue(testbed) as venue, Client(testbed, make_driver(1, 500, interval_ns=200_000)) as client:
        client.start()
        assert client.run_until(lambda: client.session.state == SessionState.READY), client.describe()
        assert client.run_until(lambda: client.session.orders_sent >= 500), client.describe()
        client.settle(venue)
        client.finish()
        print(client.describe())
        print(client.driver.fills, client.driver.maker_fills, client.driver.bumped, client.driver.converted, client.driver.amended)
