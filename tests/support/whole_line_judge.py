"""What was known on each side of the whole line: accounts of engine, bridge and exchanges; books; recoveries."""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.build.market import make_market
from crosswire.engine.build.venue import make_feed, venue_setup
from crosswire.engine.config import load_config
from crosswire.nic.memory.struct import Struct, array, i64, u8
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.rings.ring import Frame
from crosswire.nic.unit.call import bind
from crosswire.nic.unit.compile import compiled
from crosswire.risk.records import RecordKind
from crosswire.venues.bridge.binance.exchange.listed import book_digest
from crosswire.venues.bridge.binance.gateway.orders.journal import CHECK_BYTES
from crosswire.venues.bridge.binance.gateway.orders.records import AnyRecord, Asked, Begun, Ended, Filled, Refused
from crosswire.venues.bridge.binance.gateway.orders.wire import client_order_id_of
from crosswire.venues.market import Events, Market
from crosswire.venues.order import RejectReason
from crosswire.venues.side import BUY
from tests.engine.live.test_recovery import carried_lots, rows, run_folders
from tests.support.bridge_reader import take
from tests.support.faulty_exchange import LEVELS_MAX, sides_of
from tests.support.whole_line import WholeLine

STARBASE, BINANCE = 0, 1  # venues, and the market indices of their one instrument each
FRAME_BYTES_MAX = 2_048
NS_PER_S = 1_000_000_000

Fill = tuple[int, int, int, int]  # client order id, side, price in ticks, lots


@dataclass
class Accounts:
    """What each side says, and in what they differ."""

    orders: int = 0
    fills: int = 0
    differences: list[str] = field(default_factory=list)

    def expect(self, what: str, *sides: Any) -> None:
        """Note a difference unless all are equal."""
        if any(side != sides[0] for side in sides[1:]):
            self.differences.append(f"{what}: {' / '.join(str(side)[:300] for side in sides)}")


def signed(fills: list[Fill]) -> int:
    return sum(lots if side == BUY else -lots for _, side, _, lots in fills)


def differing(*sides: list[Fill]) -> list[list[Fill]]:
    """List what not all sides have."""
    common = set(sides[0]).intersection(*map(set, sides[1:]))
    return [[each for each in side if each not in common or side.count(each) > 1] for side in sides]


def bridge_records(path: Path) -> list[AnyRecord]:
    """Read the bridge's journal, which may still be written; a line cut short by a kill is passed over."""
    decoder = msgspec.json.Decoder(AnyRecord)
    lines = path.read_bytes().splitlines(keepends=True)
    return [decoder.decode(line[CHECK_BYTES:-1]) for line in lines if line.endswith(b"\n")]


def compare_accounts(line: WholeLine, starbase: dict[str, Any]) -> Accounts:
    """Compare engine, bridge and both exchanges, over all runs of the folder; the engine has ended."""
    found = Accounts()
    runs = run_folders(line.folder)
    sent = [each for run in runs for each in rows(run, RecordKind.ORDER_SENT)]
    not_sent = {each["client_order_id"] for run in runs for each in rows(run, RecordKind.NOT_SENT)}
    fills = [each for run in runs for each in rows(run, RecordKind.FILL)]
    held = carried_lots(line.folder)
    ids = [each["client_order_id"] for each in sent]
    found.orders, found.fills = len(ids), len(fills)
    found.expect("engine: orders sent, and their ids", len(ids), len(set(ids)))
    executions = [(each["instrument"], each["execution_id"]) for each in fills]
    found.expect("engine: fills, and their ids", len(executions), len(set(executions)))
    ended = [each for run in runs for each in rows(run, RecordKind.ORDER_ENDED)]
    twice = [each["client_order_id"] for each in ended if each["reason"] == RejectReason.DUPLICATE_ID]
    found.expect("orders refused as sent twice", twice, [])
    names = ("client_order_id", "side", "price_ticks", "qty_lots")
    by_venue = [
        sorted(tuple(each[name] for name in names) for each in fills if each["instrument"] == venue)
        for venue in (STARBASE, BINANCE)
    ]
    compare_binance(
        line,
        found,
        by_venue[BINANCE],
        held,
        {each["client_order_id"] for each in sent if each["instrument"] == BINANCE} - not_sent,
    )
    own = starbase["position_lots"]["starbase/BTC-PERPETUAL"]
    found.expect("starbase: fills", len(by_venue[STARBASE]), starbase["fills"])
    found.expect(
        "starbase: position by fills, carried, exchange's",
        signed(by_venue[STARBASE]),
        held.get("starbase/BTC-PERPETUAL", 0),
        own,
    )
    found.expect("starbase: open, orders twice", (0, 0), (starbase["resting"], starbase["duplicate_orders"]))
    asked = len([each for each in sent if each["instrument"] == STARBASE])
    found.expect("starbase: more orders than were sent", max(0, starbase["new_orders"] - asked), 0)
    return found


def compare_binance(line: WholeLine, found: Accounts, fills: list[Fill], held: dict[str, int], sent: set[int]) -> None:
    """Compare the engine's with the bridge's and the stand-in's."""
    records, truth = bridge_records(line.orders_journal), line.truth("account")
    begun = next(each.time_ns for each in records if isinstance(each, Begun))
    told = sorted(
        (each.client_order_id, each.side, each.price_ticks, each.qty_lots)
        for each in records
        if isinstance(each, Filled)
    )
    orders = {each["order_id"]: each for each in truth["orders"]}
    theirs = sorted(
        (
            client_order_id_of(begun, orders[each["order_id"]]["client_id"]),
            each["side"],
            each["price_ticks"],
            each["qty_lots"],
        )
        for each in truth["fills"]
    )
    found.expect("binance: fills of engine, bridge, stand-in", len(fills), len(told), len(theirs))
    if not fills == told == theirs:
        found.differences.append(f"binance: fills that not all have: {differing(fills, told, theirs)}"[:1_000])
    position = truth["position_lots"].get("BTCUSDT", 0)
    found.expect("binance: position", signed(fills), held.get("binance/BTCUSDT", 0), signed(told), position)
    trades = [each.trade_id for each in records if isinstance(each, Filled)]
    found.expect("binance: the bridge's trades, and their ids", len(trades), len(set(trades)))
    ids = [each["client_id"] for each in truth["orders"]]
    found.expect("binance: orders, and their ids", len(ids), len(set(ids)))
    asked = {each.client_order_id for each in records if isinstance(each, Asked)}
    found.expect("binance: orders of the bridge that the engine did not send", asked - sent, set())
    found.expect(
        "binance: orders of the stand-in that the bridge did not ask for",
        {client_order_id_of(begun, each) for each in ids} - asked,
        set(),
    )
    closed = {each.client_order_id for each in records if isinstance(each, Ended | Refused)}
    closed |= {each.client_order_id for each in records if isinstance(each, Filled) and each.leaves_lots == 0}
    found.expect("binance: open orders", asked - closed, set(truth["open"]), set())


class FollowedFrame(Struct):
    """A frame of a capture on its way through a feed."""

    frame: Frame
    packet: Packet
    counters: PacketCounters


@compiled
def follow_frame(followed: FollowedFrame, feed: Struct, market: Market, events: Events) -> int:
    """Decode one frame; 1 if it cost a book. One that is no more than in the middle of an event costs none."""
    if not parse_packet(followed.frame, followed.packet, followed.counters):
        return 0
    if followed.packet.protocol != PROTOCOL_UDP:
        return 0
    return take(followed.packet, feed, market, events)


@dataclass
class Books:
    """What became of a venue's book over a capture: times are those of the frames."""

    ids: list[int] = field(default_factory=list)  # update ids of valid books, as they came
    digests: list[int] = field(default_factory=list)  # of these; 0: not wanted
    stretches: list[int] = field(default_factory=list)  # of these: how often the book had been lost before
    lost_ns: list[int] = field(default_factory=list)
    proven_ns: list[int] = field(default_factory=list)

    def recovery_ns(self, struck_ns: int, until_ns: int) -> int | None:
        """Tell how long after `struck_ns` a book that it cost was proven again; None: it cost none by `until_ns`."""
        place = bisect_left(self.lost_ns, struck_ns)
        if place == len(self.lost_ns) or self.lost_ns[place] > until_ns:
            return None
        back = bisect_left(self.proven_ns, self.lost_ns[place])
        return self.proven_ns[back] - struck_ns if back < len(self.proven_ns) else None


def follow_books(config_path: Path, number: int, captures: list[Path], wanted: set[int] | None) -> Books:
    """Follow a venue's book over what the engine received; digests of all update ids, or of those wanted."""
    config = load_config(config_path)
    market, _ = make_market(config)
    feed = make_feed(venue_setup(number, config, market, config_path), config, config_path)
    followed, memory = FollowedFrame(), array(u8, FRAME_BYTES_MAX)
    call = bind(follow_frame, followed, feed, market, Events())
    room, book = memory.numpy(), market.books[number]
    prices, sizes = array(i64, LEVELS_MAX), array(i64, LEVELS_MAX)
    found, is_proven, last_id = Books(), False, 0
    followed.frame.address = memory.address
    for time_ns, data in read_frames(captures):
        room[: len(data)] = memoryview(data)
        followed.frame.length, followed.frame.time_ns = len(data), time_ns
        if call():
            found.lost_ns.append(time_ns)
            is_proven, last_id = False, 0
        if book.valid == 1 and not is_proven:
            found.proven_ns.append(time_ns)
            is_proven = True
        if book.valid == 1 and (update_id := book.update_id) != last_id:
            last_id = update_id
            is_wanted = wanted is None or update_id in wanted
            found.ids.append(update_id)
            found.digests.append(book_digest(*sides_of(book, prices, sizes)) if is_wanted else 0)
            found.stretches.append(len(found.lost_ns))
    return found


def wrong_by_id(books: Books, truth: dict[int, int]) -> tuple[int, int]:
    """Compare each book whose update id the exchange remembers; how many, and how many were wrong."""
    compared = [(truth[each], digest) for each, digest in zip(books.ids, books.digests, strict=True) if each in truth]
    return len(compared), sum(theirs != ours for theirs, ours in compared)


def wrong_by_sample(books: Books, samples: list[tuple[int, int]]) -> tuple[int, int]:
    """Compare with the exchange's book after message N: the last of ours up to N, if ours was valid until behind N."""
    compared = wrong = 0
    for number, digest in samples:
        place = bisect_right(books.ids, number) - 1
        if place < 0 or place + 1 == len(books.ids) or books.stretches[place] != books.stretches[place + 1]:
            continue
        compared += 1
        wrong += digest != books.digests[place]
    return compared, wrong


def whole_times_ns(log: str) -> list[int]:
    """List when the bridge said that the account is whole, ns since the epoch."""
    found = re.findall(r"^(\S+)Z usdm orders: the account is whole", log, re.MULTILINE)
    return [round(datetime.fromisoformat(f"{each}+00:00").timestamp() * 1_000) * 1_000_000 for each in found]
