"""Plays recordings and made-up markets, at their own pace or another, once or over and over.

A message is due when its recording's host received it, counted from the moment at which every instrument's book is
known. Its times are moved along with it: hosts' clocks are off, so `lead_ns`, the most by which the exchange's clock
was seen ahead of the host's, is taken off, and no message says that it was made after it is sent.

Each round after the first begins with one change that turns the book back into the first one's; ids go on.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.messages import Message, read_recording
from crosswire.venues.bridge.binance.exchange.venue import Times, Venue
from crosswire.venues.errors import VenueError

LEAD_LINES = 1_000  # of each recording, by which clocks are compared
OPENING_LINES_MAX = 20_000  # changes of a book before its snapshot
BATCH = 64  # messages that are due, before others get a turn
LOOK_S = 0.005  # between looks at whether to go on
ROUND_GAP_NS = 100 * NS_PER_MS  # between the end of a recording and its next beginning
NO_LEAD = -(1 << 62)
# More than are given in a millisecond: USD-M's recordings have 300 update ids in one, and may be played faster.
IDS_PER_MS = 100_000
TRADES_PER_MS = 1_000

Timed = tuple[int, Message]
Source = Callable[[], Iterator[Timed]]


@dataclass
class Track:
    """One instrument's messages, and how far its ids are moved."""

    venue: Venue
    listed: Listed
    source: Source
    messages: Iterator[Timed]
    id_shift: int
    trade_shift: int
    opening: Message  # the book that each round begins with, ids not moved
    last_ns: int = 0  # local time of the last message
    first_trade: int = 0  # id of the first trade of a round, not moved


@dataclass(frozen=True, order=True)
class Due:
    """A message in line to be played. `number` is no other's."""

    local_ns: int  # rounds one behind the other
    number: int
    round_ns: int  # what its own times lack for that
    track: Track
    message: Message


def recorded(path: Path) -> Source:
    """Make the source of a recording."""
    return lambda: read_recording(path)


class Player:
    """All tracks of a stand-in, merged by time. `speed` 0: as fast as can be.

    `elapsed_ms` since the exchange first opened moves all ids, so that they go on when it is started again.
    """

    def __init__(self, speed: float, *, repeats: bool, moves_times: bool, elapsed_ms: int = 0) -> None:
        self.tracks: list[Track] = []
        self.speed = speed
        self.repeats = repeats
        self.moves_times = moves_times
        self.id_shift, self.trade_shift = IDS_PER_MS * elapsed_ms, TRADES_PER_MS * elapsed_ms
        self.lead_ns = NO_LEAD
        self.first_ns = 0  # local time at which the play begins
        self.anchor_ns = 0  # when that is
        self.is_paused = False
        self.left = -1  # messages to play before it waits; -1: all
        self.played = 0
        self.has_ended = False
        self._paused_ns = 0
        self._now_ns: Callable[[], int] = lambda: 0

    def add(self, venue: Venue, listed: Listed, source: Source) -> None:
        """Read a source up to its first snapshot, and open the book with that and what came before."""
        messages = source()
        waiting: list[Message] = []
        for count, (local_ns, message) in enumerate(messages):
            if count < LEAD_LINES and message.E:
                self.lead_ns = max(self.lead_ns, message.E * NS_PER_MS - local_ns)
            if message.lastUpdateId:
                track = Track(venue, listed, source, messages, self.id_shift, self.trade_shift, message)
                self._open(track, waiting)
                track.last_ns = local_ns
                self.first_ns = max(self.first_ns, local_ns)
                self.tracks.append(track)
                return
            if message.e == "depthUpdate":
                waiting.append(message)
            if len(waiting) > OPENING_LINES_MAX:
                break
        raise VenueError(f"{listed.symbol}: no snapshot among the first {OPENING_LINES_MAX:,} changes of its book")

    def _open(self, track: Track, waiting: list[Message]) -> None:
        venue, listed = track.venue, track.listed
        for message in (track.opening, *waiting):
            venue.take(listed, moved(message, track), Times(message.E, message.T))
        bids, asks = listed.depth(len(listed.bids) + len(listed.asks))
        track.opening = Message(lastUpdateId=listed.update_id - track.id_shift, bids=bids, asks=asks)

    def due_ns(self, local_ns: int) -> int:
        """Tell when a message is due by the clock on the wall."""
        return self.anchor_ns + round((local_ns - self.first_ns) / (self.speed or 1.0))

    def times_of(self, due: Due) -> Times:
        """Move a message's times to where it is played."""
        message = due.message
        lead_ns = 0 if self.lead_ns == NO_LEAD else self.lead_ns
        if not self.moves_times:
            return Times(message.E, message.T, (due.local_ns - due.round_ns + lead_ns) // NS_PER_MS)
        due_ms = self.due_ns(due.local_ns) // NS_PER_MS

        def at(time_ms: int) -> int:
            local_ns = time_ms * NS_PER_MS - lead_ns + due.round_ns
            return min(due_ms, self.due_ns(local_ns) // NS_PER_MS) if time_ms else 0

        return Times(at(message.E), at(message.T), due_ms)

    def start(self, now_ns: Callable[[], int]) -> None:
        """Say by which clock messages are due, and that the first is due now."""
        self._now_ns = now_ns
        self.anchor_ns = self._paused_ns = now_ns()
        if self.moves_times:
            for track in self.tracks:
                track.listed.event_ms = track.listed.transaction_ms = self.anchor_ns // NS_PER_MS

    async def run(self) -> None:
        """Play to the end, or for ever."""
        batch = 0
        for due in heapq.merge(*map(self._follow, range(len(self.tracks)))):
            while self.is_paused or self.left == 0:
                await asyncio.sleep(LOOK_S)
            wait_ns = self.due_ns(due.local_ns) - self._now_ns() if self.speed else 0
            batch += 1
            if wait_ns > 0 or batch >= BATCH:
                await asyncio.sleep(max(0, wait_ns) / NS_PER_S)
                batch = 0
            self._play(due)
            self.left -= self.left > 0
        self.has_ended = True

    def set_speed(self, speed: float) -> None:
        """Go on at another pace from here."""
        local_ns = self.first_ns + round((self._now_ns() - self.anchor_ns) * (self.speed or 1.0))
        self.speed = speed
        self.anchor_ns = self._now_ns() - round((local_ns - self.first_ns) / (speed or 1.0))

    def hold(self, *, is_paused: bool) -> None:
        """Pause, or go on from there as if no time had passed."""
        if is_paused and not self.is_paused:
            self._paused_ns = self._now_ns()
        elif self.is_paused and not is_paused:
            self.anchor_ns += self._now_ns() - self._paused_ns
        self.is_paused = is_paused

    def _follow(self, place: int) -> Iterator[Due]:
        """Give a track's messages in turn."""
        track, number, round_ns = self.tracks[place], place, 0
        while True:
            for local_ns, message in track.messages:
                if message.lastUpdateId:
                    continue
                track.last_ns = max(track.last_ns, local_ns + round_ns)
                number += len(self.tracks)
                yield Due(track.last_ns, number, round_ns, track, message)
            if not self.repeats:
                return
            round_ns = track.last_ns - self.first_ns + ROUND_GAP_NS
            track.last_ns = self.first_ns + round_ns
            number += len(self.tracks)
            yield Due(track.last_ns, number, round_ns, track, track.opening)
            track.messages = self._again(track)

    def _again(self, track: Track) -> Iterator[Timed]:
        """Read a source again from where the first round began."""
        base_id = track.opening.lastUpdateId
        for local_ns, message in track.source():
            if message.e == "trade":
                if local_ns >= self.first_ns:
                    yield local_ns, message
            elif message.u > base_id:
                yield local_ns, message

    def _play(self, due: Due) -> None:
        track, message, times = due.track, due.message, self.times_of(due)
        self.played += 1
        if message.lastUpdateId:
            message = begin_again(track)
            now_ms = self.due_ns(due.local_ns) // NS_PER_MS
            times = Times(now_ms, now_ms)
        else:
            if message.e == "trade" and not track.first_trade:
                track.first_trade = message.t
            message = moved(message, track)
        track.venue.take(track.listed, message, times)


def moved(message: Message, track: Track) -> Message:
    """Move a message's ids; the first change behind a snapshot in its middle continues it."""
    changes = {name: getattr(message, name) for name in ("U", "u", "pu", "lastUpdateId") if getattr(message, name)}
    changes = {name: number + track.id_shift for name, number in changes.items()}
    if message.t:
        changes["t"] = message.t + track.trade_shift
    listed = track.listed
    if message.pu and listed.is_proven and changes["pu"] < listed.update_id < changes["u"]:
        changes["pu"] = listed.update_id
    return msgspec.structs.replace(message, **changes)


def begin_again(track: Track) -> Message:
    """Make the change that turns the book at the end of a round into that of its beginning, and move ids behind it."""
    listed, opening = track.listed, track.opening
    last_id = max(listed.update_id, listed.quote_id) + 1
    track.id_shift = last_id - opening.lastUpdateId
    if track.first_trade:
        track.trade_shift = listed.trade_id + 1 - track.first_trade
    bids, asks = dict(opening.bids), dict(opening.asks)
    old_bids, old_asks = listed.depth(len(listed.bids) + len(listed.asks))
    gone = listed.size_text(0)
    return Message(
        e="depthUpdate",
        s=listed.symbol,
        U=listed.update_id + 1,
        u=last_id,
        pu=listed.update_id,
        b=[(price, gone) for price, _ in old_bids if price not in bids] + list(bids.items()),
        a=[(price, gone) for price, _ in old_asks if price not in asks] + list(asks.items()),
    )
