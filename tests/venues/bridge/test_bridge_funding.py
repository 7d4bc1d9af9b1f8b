"""Funding out of captures of the bridge feed: payments at their instants, from the mark prices told before them."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.nic.rings.replay import Replay
from crosswire.venues.adapter import VenueSetup
from crosswire.venues.bridge.adapter import ADAPTER
from crosswire.venues.bridge.binance.importer import ImportOptions, import_file
from crosswire.venues.bridge.binance.market import Market as BinanceMarket
from crosswire.venues.instrument import E9, Instrument, set_text
from crosswire.venues.market import Market
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.told import Silence, ToldFunding
from tests.support.captures import pcap, udp_frame
from tests.venues.bridge.test_bridge_feed import (
    BTC,
    ETH,
    HEARTBEAT,
    LOT_E9,
    MARK_PRICE,
    TICK_E9,
    definition,
    delta,
    heartbeat,
    mark_price,
    message,
    packed,
    snapshot,
    trade,
)

S = 10**9
EIGHT = 1_772_006_400 * S  # a full hour
SIXTEEN = EIGHT + 8 * 3_600 * S
MARK = 64_240_382_728_640


def market_of(*symbols: str) -> Market:
    market = Market(count=len(symbols), capacity=len(symbols))
    market.instruments = Instrument.array(market.capacity)
    for place, symbol in enumerate(symbols):
        each = market.instruments[place]
        set_text(each.symbol, symbol)
        each.tick_e9, each.lot_e9, each.contract_e9 = TICK_E9, LOT_E9, E9
    return market


def read(captures: Sequence[Path], *symbols: str) -> ToldFunding:
    from crosswire.venues.book.book import make_books

    market = market_of(*symbols)
    market.books = make_books(market.capacity, 64)
    setup = VenueSetup(
        number=0, name="usdm", folder=captures[0].parent, settings=None, market=market, level_capacity=64, flows=()
    )
    assert ADAPTER.read_funding is not None
    with Replay(list(captures)) as replay:
        return ADAPTER.read_funding(setup, replay)


def written(path: Path, *packets: tuple[int, Sequence[bytes]]) -> Path:
    """Write a capture of packets, each (receive time, messages)."""
    frames = [
        (time_ns, udp_frame(packed(number, *messages, sent=time_ns - 1)))
        for number, (time_ns, messages) in enumerate(packets, 1)
    ]
    path.write_bytes(pcap(frames))
    return path


def payment(time_ns: int, rate: str, mark_e9: int = MARK) -> FundingRate:
    return FundingRate(time_ns=time_ns, rate=Decimal(rate), mark_e9=mark_e9)


def test_a_payment_is_what_the_mark_price_before_it_told(tmp_path: Path) -> None:
    """Among whatever else a packet holds, twice, of two instruments, and of one that is not ours."""
    defined = [definition(), definition(ETH, "ETHUSDT"), heartbeat()]
    first = [snapshot(100, [(99, 5)], [(101, 7)]), mark_price(MARK, -60_420, EIGHT, time=EIGHT - 2 * S), heartbeat()]
    second = [trade(99, 1, 0), delta(100, 101, [(99, 0)]), mark_price(MARK + 7, 50_000, EIGHT, ETH, EIGHT - S)]
    newer = message(9, b"unknown")
    third = [mark_price(MARK + 5, 90_000, SIXTEEN, time=EIGHT + S), newer, mark_price(1, 2, SIXTEEN, 3, EIGHT)]
    capture = written(
        tmp_path / "a.pcap",
        (EIGHT - 3 * S, defined),
        (EIGHT - 2 * S, first),
        (EIGHT - 2 * S, first),
        (EIGHT - S, second),
        (EIGHT + S, third),
    )
    assert read([capture], "ETHUSDT", "BTCUSDT") == ToldFunding(
        rates={0: [payment(EIGHT, "0.00005", MARK + 7)], 1: [payment(EIGHT, "-0.00006042")]}, is_continuous=False
    )


def test_captures_of_a_release_before_it_tell_nothing(tmp_path: Path) -> None:
    packets = [(EIGHT, [definition(), snapshot(1, [(99, 5)], [(101, 7)])]), (SIXTEEN, [message(HEARTBEAT, bytes(8))])]
    assert read([written(tmp_path / "a.pcap", *packets)], "BTCUSDT").rates == {}


def test_a_mark_price_without_a_time_has_that_of_its_packet_and_one_too_short_is_passed_over(tmp_path: Path) -> None:
    untimed = mark_price(MARK, 100_000, EIGHT, time=0)
    short = message(MARK_PRICE, mark_price(1, 1, EIGHT, time=EIGHT - S)[8:-1])
    packets = [(EIGHT - 2 * S, [definition(), untimed, short, heartbeat()]), (EIGHT + 1, [heartbeat()])]
    assert read([written(tmp_path / "a.pcap", *packets)], "BTCUSDT").rates == {0: [payment(EIGHT, "0.0001")]}


def test_a_gap_between_two_captures_is_told(tmp_path: Path) -> None:
    """The payment in it has the last rate before it; another one may have been due."""
    later = SIXTEEN + 3 * 3_600 * S
    one = written(tmp_path / "1.pcap", (EIGHT - S, [definition(), mark_price(MARK, 1_000, EIGHT, time=EIGHT - S)]))
    two = written(
        tmp_path / "2.pcap", (later, [definition(), mark_price(MARK, 2_000, later + 5 * 3_600 * S, time=later)])
    )
    found = read([one, two], "BTCUSDT")
    assert (found.rates, found.stale) == ({0: [payment(EIGHT, "0.000001")]}, ())
    assert found.silences == (Silence(0, EIGHT, later),)


@pytest.mark.parametrize("damage", [b"\xff\xff", b"\0\0"])
def test_damaged_packets_end_nothing(tmp_path: Path, damage: bytes) -> None:
    good = packed(1, definition(), mark_price(MARK, 1_000, EIGHT, time=EIGHT - S))
    frames = [(EIGHT - S, udp_frame(good))]
    for place in range(16, len(good) - 2, 7):
        bad = good[:place] + damage + good[place + 2 :]
        frames.append((EIGHT - S + place, udp_frame(bad)))
        frames.append((EIGHT - S + place, udp_frame(bad[:place])))
    frames.append((EIGHT, udp_frame(packed(9, heartbeat()))))
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(frames))
    assert len(read([path], "BTCUSDT").rates[0]) == 1


def test_recorded_lines_are_charged_what_they_tell(tmp_path: Path) -> None:
    """From the venue's own lines: import, capture, payment."""
    lines = []
    for second in range(-3, 3):
        time_ns = EIGHT + second * S
        rate, next_ns = ("0.00012345", EIGHT) if second < 0 else ("0.0001", SIXTEEN)
        lines.append(
            f'{time_ns + 5_000_000} {{"e":"markPriceUpdate","E":{time_ns // 10**6},"s":"BTCUSDT",'
            f'"p":"64240.3827286{second + 3}","i":"64273.7","P":"1","r":"{rate}","T":{next_ns // 10**6}}}\n'
        )
    path = tmp_path / "in.txt"
    path.write_text("".join(lines))
    summary = import_file(path, tmp_path / "out.pcap", ImportOptions(market=BinanceMarket.USDM))
    assert read([summary.output], "BTCUSDT").rates == {0: [payment(EIGHT, "0.00012345", 64_240_382_728_620)]}
    assert BTC != ETH
