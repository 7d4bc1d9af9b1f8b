"""What captures tell of the venues that they are of: whose feed, which instruments it defines, what those cost.

Every installed feed is tried on every capture: a port or an address says nothing of what is sent there.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from crosswire.engine.adapters import find_adapter
from crosswire.engine.build.definitions import INSTRUMENTS_FIRST, Seen, begin_look, link_look, read_frames
from crosswire.engine.captures import find_captures
from crosswire.engine.config import ConfigError
from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.nic.capture.defects import Tally, total
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, replayed_frames
from crosswire.nic.rings.ring import Frame
from crosswire.nic.unit.link import Linker
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import Adapter
from crosswire.venues.instrument import E9, Instrument, Kind, text_of

WHERE = "--from"
PORTS_SHOWN = 4
PORT_FRAMES = 20_000  # that ports are looked for in

Prices = dict[int, Decimal]  # by index in the market


@dataclass(frozen=True)
class Found:
    """An instrument that captures define; `price`: the middle of the last book with both sides, None: none had both."""

    instrument: Instrument
    price: Decimal | None

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes it the same instrument in another capture of its venue."""
        return text_of(self.instrument.symbol), self.instrument.kind, self.instrument.venue_id


@dataclass
class Captured:
    """What is one venue's, by what it defines."""

    adapter: Adapter
    names: list[str]  # of the captures, as they were given
    found: list[Found] = field(default_factory=list)

    def add(self, other: "Captured") -> None:
        """Take in another capture of the same venue."""
        known = {each.key: place for place, each in enumerate(self.found)}
        self.names += other.names
        for each in other.found:
            place = known.get(each.key)
            if place is None:
                self.found.append(each)
            elif self.found[place].price is None:
                self.found[place] = each


def read_captures(names: Sequence[str]) -> tuple[list[Captured], list[DataWarning]]:
    """Read captures, each a file, a folder or a pattern; tell the venues in them, and what is wrong with the captures.

    Captures of one feed that define the same instrument are of one venue, as the parts of a rotated one are.
    ConfigError: nothing can be made of one. Raises `nic.capture.reader.CaptureError` for a file that is none.
    """
    find_captures(Path(), names, WHERE)  # one that is given twice
    venues: list[Captured] = []
    tallies = []
    for name in names:
        captured, tally = _read_one(name)
        tallies.append(tally)
        keys = {each.key for each in captured.found}
        same = [
            each
            for each in venues
            if each.adapter.name == captured.adapter.name and keys & {known.key for known in each.found}
        ]
        if same:
            same[0].add(captured)
        else:
            venues.append(captured)
    return venues, total(tallies).warnings()


def _read_one(name: str) -> tuple[Captured, Tally]:
    paths = find_captures(Path(), [name], WHERE)
    read: list[tuple[Adapter, Seen, Prices]] = []
    tally = Tally()
    for adapter in _adapters():
        seen, prices, tally = _look(paths, adapter, INSTRUMENTS_FIRST)
        if seen.market.count == seen.market.capacity:
            seen, prices, tally = _look(paths, adapter, adapter.instruments_max)
        if sum(seen.feed.messages):
            read.append((adapter, seen, prices))
    if not read:
        raise ConfigError(
            f"{WHERE} {name}: no feed that is installed ({', '.join(each.name for each in _adapters())}) reads one "
            f"message of it: it has {_ports(paths)}; a venue of your own needs an adapter (docs/venues.md)"
        )
    if len(read) > 1:
        feeds = " and of ".join(f"{adapter.name} ({sum(seen.feed.messages):,})" for adapter, seen, _ in read)
        raise ConfigError(
            f"{WHERE} {name}: it has messages of {feeds}; a venue's captures are of its feed alone: part it by port, "
            "as with tcpdump -r, and give the parts"
        )
    adapter, seen, prices = read[0]
    if not seen.market.count:
        raise ConfigError(
            f"{WHERE} {name}: {sum(seen.feed.messages):,} messages of {adapter.name}, and none defines an instrument: "
            "capture until the venue sends its definitions again, or write its tables by hand (docs/reference)"
        )
    found = [Found(seen.market.instruments[index], prices.get(index)) for index in range(seen.market.count)]
    return Captured(adapter, [name], found), tally


def _adapters() -> list[Adapter]:
    """List the venues whose captures can be replayed and tell their instruments."""
    found = [find_adapter(name) for name in entry_points(VENUE_GROUP)]
    return [each for each in found if each.discover and any(entry.replays for entry in each.order_entries.values())]


def _look(paths: Sequence[Path], adapter: Adapter, capacity: int) -> tuple[Seen, Prices, Tally]:
    """Have a feed read captures, to their end or as far as is looked."""
    seen = begin_look(adapter, capacity, adapter.levels_max)
    assert seen is not None
    linker = Linker()
    look = link_look(linker, seen)
    linker.load()
    prices: Prices = {}
    with Replay(paths) as replay:
        for _ in read_frames(replay, seen, look):
            prices.update(_middles(seen))
        return seen, prices, replay.tally()


def _middles(seen: Seen) -> Prices:
    """Tell the middle of each book that is valid and has both sides."""
    found = {}
    for index in range(seen.market.count):
        book = seen.market.books[index]
        if book.valid and book.bid_lots and book.ask_lots and book.bid_ticks > 0:
            ticks = Decimal(book.bid_ticks + book.ask_ticks) / 2
            found[index] = ticks * seen.market.instruments[index].tick_e9 / E9
    return found


def _ports(paths: Sequence[Path]) -> str:
    """Say what captures carry, by the port it was sent to."""
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    ports: Counter[int] = Counter()
    with Replay(paths) as replay:
        for number, (time_ns, content) in enumerate(replayed_frames(replay)):
            buffer = array(u8, len(content))
            buffer.numpy()[:] = memoryview(content)
            frame.address, frame.length, frame.time_ns = buffer.address, len(content), time_ns
            if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
                ports[packet.destination_port] += 1
            if number == PORT_FRAMES:
                break
    if not ports:
        other = {name: getattr(counters, name) for name in PacketCounters.fields}
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in other.items() if count) or "no frame"
    most = ports.most_common(PORTS_SHOWN)
    others = f" and {len(ports) - len(most)} ports more" if len(ports) > len(most) else ""
    return "UDP to " + ", ".join(f"port {port} ({count:,} packets)" for port, count in most) + others


def kind_of(found: Found) -> Kind:
    """Tell what an instrument is."""
    return Kind(found.instrument.kind)
