"""A bridge feed of a newer layout over a bad wire: whatever is lost, a valid book is the publisher's."""

import random
import struct
from collections import Counter

import pytest

from crosswire.venues.book.book import NO_ASK, NO_BID, level_lots, worse_level
from crosswire.venues.side import ASK, BID
from tests.venues.bridge.test_bridge_feed import (
    BTC,
    DELTA,
    SNAPSHOT,
    T0,
    Desk,
    Levels,
    definition,
    heartbeat,
    message,
    packed,
)

HEADER_BYTES = 24


class Publisher:
    """A market in plain dictionaries, and its messages, whose blocks and entries are longer than the schema's."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sides: tuple[dict[int, int], dict[int, int]] = ({99: 5}, {101: 7})
        self.last_id = 100

    def longer(self, template: int, root: bytes, *groups: Levels) -> bytes:
        root += self.chance.randbytes(self.chance.choice((0, 0, 3, 8)))
        body = struct.pack("<HHHH", len(root), template, 0x4258, 1) + root
        spare = self.chance.choice((0, 0, 5, 16))
        for levels in groups:
            entries = (struct.pack("<qq", *level) + self.chance.randbytes(spare) for level in levels)
            body += struct.pack("<HH", 16 + spare, len(levels)) + b"".join(entries)
        return body

    def snapshot(self) -> bytes:
        root = struct.pack("<IQQB", BTC, T0, self.last_id, 0)
        return self.longer(SNAPSHOT, root, *(list(side.items()) for side in self.sides))

    def change(self) -> list[bytes]:
        """Move the market, and tell it beside what a reader may skip."""
        mid = 100 + self.chance.randrange(-3, 4)
        groups = []
        for side, away in zip(self.sides, (-1, 1), strict=True):
            levels = [(price, 0) for price in side if (price - mid) * away <= 0]
            for _ in range(self.chance.randrange(1, 5)):
                levels.append((mid + away * self.chance.randrange(1, 20), self.chance.choice((0, 1, 2, 8))))
            side.update(levels)
            for price in [price for price, lots in side.items() if lots == 0]:
                del side[price]
            groups.append(levels)
        before, self.last_id = self.last_id, self.last_id + self.chance.randrange(1, 4)
        messages = [self.longer(DELTA, struct.pack("<IQQQQB", BTC, T0, before + 1, self.last_id, before, 0), *groups)]
        if self.chance.random() < 0.2:
            messages.insert(self.chance.randrange(2), heartbeat())
        if self.chance.random() < 0.2:
            messages.append(message(9, self.chance.randbytes(self.chance.randrange(20))))
        return messages


def shown(desk: Desk) -> tuple[dict[int, int], dict[int, int]]:
    """List the levels of a book, by side."""
    book = desk.book()
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side, price, end in ((BID, book.level_bid_ticks, NO_BID), (ASK, book.level_ask_ticks, NO_ASK)):
        while price != end:
            sides[0 if side == BID else 1][price] = level_lots(book, side, price)
            price = worse_level(book, side, price)
    return sides


@pytest.mark.parametrize("seed", range(6))
def test_a_valid_book_is_the_publishers_whatever_was_newer_lost_cut_or_sent_twice(seed: int) -> None:
    desk, publisher, sent, count = Desk(), Publisher(seed), [b""], Counter[str]()
    chance = publisher.chance
    desk.send(definition())
    desk.send(publisher.snapshot())
    for _ in range(400):
        desk.sequence += 1
        payload = packed(desk.sequence, *publisher.change())
        fate = chance.choices(("whole", "lost", "cut", "cut and told so", "copied"), (80, 3, 3, 3, 8))[0]
        if fate == "cut":
            payload = payload[: chance.randrange(len(payload))]
        elif fate == "cut and told so":
            length = chance.randrange(HEADER_BYTES, len(payload))
            payload = payload[: HEADER_BYTES - 2] + struct.pack("<H", length) + payload[HEADER_BYTES:length]
        for copy in {"lost": [], "copied": [sent[-1], payload, payload]}.get(fate, [payload]):
            desk.take(copy)
        if fate in ("lost", "cut"):
            continue  # not known before the next packet
        sent.append(payload)
        if desk.book().valid:
            count["right"] += 1
            assert shown(desk) == publisher.sides
        elif chance.random() < 0.5:
            count["proven again"] += 1
            desk.send(publisher.snapshot())
            assert shown(desk) == publisher.sides
    assert count["right"] > 200
    assert count["proven again"] > 10
    assert desk.feed.duplicates > 10
