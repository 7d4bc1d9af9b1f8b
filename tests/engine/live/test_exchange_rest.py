"""`crosswire exchange` in a namespace of its own serves REST where it was started, as the engine asks from there."""

import json
import signal
import socket
from pathlib import Path

import pytest

from crosswire.engine.build.market import make_market
from crosswire.engine.build.venue import venue_setup
from crosswire.engine.config import load_config
from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.exchange.build import FIRST_INSTRUMENT_ID
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, make_config, started
from tests.support.net import own_testbed

pytestmark = [pytest.mark.netns, pytest.mark.starbase]


def test_rest_is_served_outside_the_exchange_s_namespace(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with own_testbed("xr", links=2) as testbed:
        named = {"self_match_prevention_id = 1": f'self_match_prevention_id = 1\nrest = "http://127.0.0.1:{port}"'}
        path = make_config(tmp_path, testbed, seconds=10, example="starbase", **named)
        config = load_config(path)
        market, _ = make_market(config)
        symbols = [each.symbol for venue in config.venue for each in venue.instrument]
        make_source = config.venue[0].order_entry.make_account_source
        assert make_source is not None
        source = make_source(venue_setup(0, config, market, path), symbols)
        assert source is not None
        for index in range(len(config.venue[0].instrument)):  # what the feed would have been told
            market.instruments[index].venue_id = FIRST_INSTRUMENT_ID + index
        with started(tmp_path, "exchange", path, "--wait") as exchange:
            exchange.wait_for("ready", COMPILE_PATIENCE_S)
            told = source.fetch()
            exchange.process.send_signal(signal.SIGTERM)
            said = json.loads(exchange.finish(PATIENCE_S).splitlines()[-1])
        assert (told.open_orders, told.position_lots, told.strangers) == ([], None, [])
        assert said["starbase"]["rest"] == {"200": 1}
        with pytest.raises(VenueError, match="Connection refused"):
            source.fetch()
        in_use = socket.create_server(("127.0.0.1", port))
        with in_use, started(tmp_path, "exchange", path, "--wait") as second:
            assert second.process.wait(PATIENCE_S) != 0
            wrong = f"REST at http://127.0.0.1:{port}: Address already in use; is another simulation running?"
            assert wrong in second.text().replace("\n", " ")
            assert "Traceback" not in second.text()
