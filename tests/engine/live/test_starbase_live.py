"""`crosswire sim` and `crosswire live` with Starbase: orders over our own TCP, L3 market data, both sides' accounts."""

from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.support.live_setup import make_config, trade
from tests.support.net import needs_root

pytestmark = [pytest.mark.netns, pytest.mark.starbase, pytest.mark.tcp]
SECONDS = 6
SECRET = "not-to-be-found-anywhere"


def test_both_sides_agree_over_our_own_tcp(tmp_path: Path) -> None:
    needs_root()
    with Testbed("sbl", links=2) as testbed:
        key = tmp_path / "key.toml"
        key.write_text(f'client_id = "agree"\nsecret = "{SECRET}"')
        key.chmod(0o600)
        named = {"self_match_prevention_id = 1": f'credentials = "{key}"'}
        config = make_config(tmp_path, testbed, seconds=SECONDS + 4, example="starbase", **named)
        seen = trade(tmp_path, config, SECONDS)
    assert [(row, at_exchange) for *row, at_exchange, _ in seen.rows()] == [
        (row, in_engine) for *row, _, in_engine in seen.rows()
    ]
    exchange, own = seen.exchanges["starbase"], seen.of_venue("starbase")
    assert exchange["new_orders"] > 0
    assert exchange["fills"] > 0
    assert exchange["duplicate_orders"] == exchange["mistakes"] == exchange["resting"] == 0
    assert own["tcp segments"] >= exchange["new_orders"]
    assert seen.engine["counters"]["alarms"] == 0
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path != key]
    assert len(left) > 5
    assert [path for path in left if SECRET.encode() in path.read_bytes()] == []
