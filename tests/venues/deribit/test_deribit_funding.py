"""Funding rates out of Deribit's tickers: of captures that are written here, and of the venue's own."""

from collections.abc import Sequence
from decimal import Decimal
from math import inf, nan
from pathlib import Path

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.rings.replay import Replay
from crosswire.venues.adapter import VenueSetup
from crosswire.venues.book.book import make_books
from crosswire.venues.deribit.adapter import ADAPTER
from crosswire.venues.deribit.feed.funding import read_rates
from crosswire.venues.deribit.wire.encoder import PacketWriter, write_definition, write_ticker
from crosswire.venues.deribit.wire.layout import Ticker
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.market import Market
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.rates import FeedRates, told_continuously
from crosswire.venues.money.told import ToldFunding
from tests.support.captures import pcap, udp_frame
from tests.support.deribit_setup import (
    CAPTURE,
    MS,
    PERPETUAL,
    T0,
    Sender,
    make_instrument,
    perpetual,
    reference,
)
from tests.support.paths import recording


def market_of(*instruments: Instrument) -> Market:
    market = Market(count=len(instruments), capacity=len(instruments))
    market.instruments = Instrument.array(market.capacity)
    market.books = make_books(market.capacity, 64)
    for place, each in enumerate(instruments):
        copy_bytes(address_of(market.instruments[place]), address_of(each), Instrument.size)
    return market


def setup_of(capture: Path, market: Market) -> VenueSetup:
    return VenueSetup(
        number=0, name="deribit", folder=capture.parent, settings=None, market=market, level_capacity=64, flows=()
    )


def read(capture: Path, market: Market) -> FeedRates:
    setup = setup_of(capture, market)
    with Replay([capture]) as replay:
        return read_rates(setup, replay)


def rates_of(rates: FeedRates, place: int) -> list[FundingRate]:
    return told_continuously(rates).rates.get(place, [])


def funded_ticker(writer: PacketWriter, after_ms: int, rate: float, mark: float) -> bool:
    if not write_ticker(writer, PERPETUAL, T0 // MS + after_ms, 0.0, 0.0, 0.0, 0.0):
        return False
    ticker = view(Ticker, writer.position - size_of(Ticker))
    ticker.current_funding, ticker.mark_price, ticker.funding_8h = rate, mark, 0.09
    return True


def written(path: Path, instrument: Instrument, tickers: Sequence[tuple[int, float, float]]) -> Path:
    """Write a capture with a definition, then a ticker each (ms after T0, rate, mark) in a packet of its own."""
    sender = Sender()
    packets = [sender.packet((write_definition, instrument, PERPETUAL))]
    packets += [sender.packet((funded_ticker, *ticker)) for ticker in tickers]
    path.write_bytes(pcap([(T0 + place, udp_frame(packet)) for place, packet in enumerate(packets)]))
    return path


def rate(after_ms: int, value: str, mark: str | None) -> FundingRate:
    mark_e9 = None if mark is None else int(Decimal(mark) * E9)
    return FundingRate(time_ns=T0 + after_ms * MS, rate=Decimal(value), mark_e9=mark_e9)


def test_each_second_of_tickers_tells_a_rate(tmp_path: Path) -> None:
    instrument = perpetual()
    tickers = [
        (0, 0.00075, 10_010.0),
        (999, 0.005, 10_100.0),  # too soon after it
        (1_000, -0.00075, nan),
        (500, 0.005, 10_100.0),  # an older one, or a copy
        (2_500, nan, 10_010.0),
        (2_600, 0.0, 25_448.57),
    ]
    rates = read(written(tmp_path / "tickers.pcap", instrument, tickers), market_of(instrument))
    assert rates_of(rates, 0) == [
        rate(0, "0.00075", "10010"),
        rate(1_000, "-0.00075", None),
        rate(2_600, "0", "25448.57"),
    ]
    assert (rates.dropped, rates.bad) == (0, 0)


def test_the_adapter_says_that_rates_hold_until_the_next(tmp_path: Path) -> None:
    """Of what nothing was told of it says nothing."""
    capture = written(tmp_path / "a.pcap", perpetual(), [(0, 0.00075, 10_010.0), (0, 7.5, 10_010.0)])
    market = market_of(make_instrument("ETH-PERPETUAL", tick_e9=E9, lot_e9=E9), perpetual())
    assert ADAPTER.read_funding is not None
    with Replay([capture]) as replay:
        told = ADAPTER.read_funding(setup_of(capture, market), replay)
    assert told == ToldFunding({1: [rate(0, "0.00075", "10010")]}, is_continuous=True)


def test_rates_that_no_venue_means_are_counted(tmp_path: Path) -> None:
    instrument = perpetual()
    tickers = [(0, inf, 10_010.0), (0, 7.5, 10_010.0), (0, -0.11, 10_010.0), (0, 0.1, -1.0)]
    rates = read(written(tmp_path / "bad.pcap", instrument, tickers), market_of(instrument))
    assert rates_of(rates, 0) == [rate(0, "0.1", None)]
    assert rates.bad == 3


def test_tickers_of_others_and_cut_packets_tell_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "other.pcap", perpetual(), [(0, 0.001, 10_010.0)])
    other = make_instrument("ETH-PERPETUAL", tick_e9=E9, lot_e9=E9)
    assert read(path, market_of(other)).count == 0
    path.write_bytes(path.read_bytes()[:-8])
    assert read(path, market_of(perpetual())).count == 0


def test_the_venues_own_capture_tells_what_a_plain_decoder_reads() -> None:
    plain = reference()
    symbols = ("BTC-PERPETUAL", "ETH_USDC-PERPETUAL")
    ids = {symbol: number for number, symbol in plain.symbols.items()}
    instruments = [
        perpetual() if symbol == "BTC-PERPETUAL" else make_instrument(symbol, tick_e9=E9, lot_e9=E9)
        for symbol in symbols
    ]
    rates = read(recording(CAPTURE), market_of(*instruments))
    for place, symbol in enumerate(symbols):
        expected: list[FundingRate] = []
        is_defined = False
        for message in (message for packet in plain.messages for message in packet):
            root = message.root
            if root.get("instrument_id") != ids[symbol]:
                continue
            is_defined = is_defined or message.name.startswith("Instrument")
            if message.name != "Ticker" or not is_defined:
                continue
            time_ns = root["timestamp_ms"] * MS
            if not expected or time_ns >= expected[-1].time_ns + 1_000 * MS:
                mark_e9 = int(Decimal(repr(root["mark_price"])) * E9)
                expected.append(
                    FundingRate(time_ns=time_ns, rate=Decimal(repr(root["current_funding"])), mark_e9=mark_e9)
                )
        assert rates_of(rates, place) == expected
        assert len(expected) > 20
        assert any(each.rate for each in expected)
