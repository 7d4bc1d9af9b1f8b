"""A capture of the bridge feed, played by the stand-in: its book is what the engine makes of the capture."""

import itertools
from pathlib import Path

import pytest

from crosswire.engine.generate import generate_captures
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.binance.exchange.captured import captured, captured_symbol
from crosswire.venues.bridge.binance.exchange.listed import Listed, book_digest
from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig, terms_of
from crosswire.venues.bridge.binance.exchange.venue import Times, Venue, VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError
from tests.support.bridge_reader import BridgeReader

pytestmark = pytest.mark.binance
SECONDS = 18  # two gaps


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = generate_captures(tmp_path_factory.mktemp("made"), seed=3, seconds=SECONDS).captures["bridge"]
    assert made.gaps > 0
    return made.path


def listed(capture: Path, market: str = "usdm", **terms: str) -> Listed:
    """The instrument of the capture, as the stand-in lists it."""
    config = InstrumentConfig(market=market, recording=str(capture), **terms)
    symbol = captured_symbol(capture)
    return Listed(Market[market.upper()], symbol, 0, config, terms_of(config, symbol))


def decoded_digests(capture: Path) -> dict[int, int]:
    """Digests of the valid books that the engine's decoder makes of the capture, by update id."""
    reader = BridgeReader()
    found = {}
    for _, frame in read_frames([capture]):
        reader.decode(frame[UDP_FRAME_HEADER_BYTES:])
        if reader.is_valid() and reader.book().update_id not in found:
            found[reader.book().update_id] = book_digest(*reader.sides())
    reader.close()
    return found


@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_each_book_is_the_capture_s_own(capture: Path, market: str) -> None:
    instrument = listed(capture, market, tick="0.1", lot="0.001")
    venue = Venue(instrument.market, [instrument], VenueClock())
    expected = decoded_digests(capture)
    compared, last_id, made = 0, 0, []
    for _, message in captured(capture, instrument)():
        made.append(message)
        if message.e == "depthUpdate":
            # Nothing is missing in what is played, whatever is in the capture.
            assert message.U == last_id + 1 <= message.u
            assert message.pu == (last_id if market == "usdm" else 0)
        venue.take(instrument, message, Times(message.E, message.T))
        last_id = instrument.update_id
        if last_id in expected and message.e != "trade":
            assert instrument.digest == expected[last_id]
            compared += 1
    assert compared > 1_000
    assert last_id == max(expected)
    assert sum(bool(message.lastUpdateId) for message in made) == 1
    assert {message.e for message in made} == {"", "depthUpdate", "bookTicker", "trade"}


def test_it_can_be_read_again(capture: Path) -> None:
    source = captured(capture, listed(capture))
    first, again = (list(itertools.islice(source(), 500)) for _ in range(2))
    assert first == again


def test_another_tick_is_refused(capture: Path) -> None:
    with pytest.raises(VenueError, match="BTCUSDT has tick 100000000 and lot 1000000"):
        list(captured(capture, listed(capture, tick="0.01"))())


def test_a_capture_without_an_instrument_is_refused(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "empty.pcap") as writer:
        path = writer.path
    with pytest.raises(VenueError, match="no instrument is defined in this capture"):
        captured_symbol(path)
