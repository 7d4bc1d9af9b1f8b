"""The lies of a Starbase exchange, in messages of which only one gateway tells.

What it sends again it has said before: only what is new is changed.
"""

from collections.abc import Callable, Iterator
from typing import Any

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.rings.delay import DelayRing
from crosswire.venues.exchange.lies import Lie, change, payloads_under_way
from crosswire.venues.instrument import E9
from crosswire.venues.order import Applied
from crosswire.venues.starbase.wire.order_codes import FillFlags, FrameFlags, Template, WireSide
from crosswire.venues.starbase.wire.order_layout import (
    PROTOCOL_ID,
    Fill,
    FrameHeader,
    GroupHeader,
    MakerFill,
    NewOrderResponse,
    OrderFilled,
)
from crosswire.venues.starbase.wire.stream import padded, root_of

STRANGE_ID = 4711  # of no instrument
RESEND = int(FrameFlags.RESEND)


def frames_under_way(wire: DelayRing, template: Template) -> Iterator[int]:
    """Give the address of each frame of a kind that the exchange has sent for the first time and nobody yet heard."""
    for start, end in payloads_under_way(wire):
        address = start
        # A segment may begin inside a frame: then it is left alone.
        while address + size_of(FrameHeader) <= end and view(FrameHeader, address).protocol_id == PROTOCOL_ID:
            header = view(FrameHeader, address)
            behind = address + padded(header.length)
            if header.template_id == template and header.flags & RESEND == 0 and behind <= end:
                yield address
            address = behind


def first_entry(address: int, root: type[Any], entry: type[Any]) -> Any:
    """Give the first entry of a frame's first group, None if it has none."""
    group = root_of(address) + size_of(root)
    return view(entry, group + size_of(GroupHeader)) if view(GroupHeader, group).count != 0 else None


def answers(wire: DelayRing) -> Iterator[tuple[Any, Any]]:
    """Give each answer to a new order, and its first fill, None if it has none."""
    for address in frames_under_way(wire, Template.NEW_ORDER_RESPONSE):
        yield view(NewOrderResponse, root_of(address)), first_entry(address, NewOrderResponse, Fill)


def maker_fills(wire: DelayRing) -> Iterator[Any]:
    """Give the first fill of each message that tells of fills of resting orders."""
    for address in frames_under_way(wire, Template.ORDER_FILLED):
        yield first_entry(address, OrderFilled, MakerFill)


def taken(outcome: Applied, change_fill: Callable[[Any, Any], None]) -> Lie:
    """Make a lie about the first fill of an answer."""

    def tell(wire: DelayRing) -> bool:
        for answer, fill in answers(wire):
            if fill is not None:
                change_fill(answer, fill)
                return True
        return False

    return Lie(outcome, tell)


def made(outcome: Applied, change_fill: Callable[[Any], None]) -> Lie:
    """Make a lie about a fill of a resting order: of a quote less is told, and less can be known."""

    def tell(wire: DelayRing) -> bool:
        fill = next((each for each in maker_fills(wire) if each.flags & FillFlags.IS_QUOTE == 0), None)
        if fill is not None:
            change_fill(fill)
        return fill is not None

    return Lie(outcome, tell)


def accepted(outcome: Applied, change_answer: Callable[[Any], None]) -> Lie:
    """Make a lie about an order that was taken and not filled."""

    def tell(wire: DelayRing) -> bool:
        for answer, fill in answers(wire):
            if fill is None:
                change_answer(answer)
                return True
        return False

    return Lie(outcome, tell)


def worse_price_e9(price_e9: int, wire_side: int) -> int:
    """Give a price twice as dear for a buyer, half as dear for a seller, in whole ticks."""
    return price_e9 * 2 if wire_side == WireSide.BUY else price_e9 // 2 // E9 * E9


def worsen_taken(answer: Any, fill: Any) -> None:
    """Make a fill worse than its order's limit."""
    fill.fill_price_e9 = worse_price_e9(fill.fill_price_e9, answer.side)


def overfill_taken(answer: Any, fill: Any) -> None:
    """Make a fill larger than its order."""
    fill.fill_quantity.mantissa += answer.quantity.mantissa


def worsen_made(fill: Any) -> None:
    """Make a fill worse than its order's limit."""
    fill.price_e9 = worse_price_e9(fill.price_e9, fill.side)


def overfill_made(fill: Any) -> None:
    """Make a fill larger than any order."""
    fill.fill_quantity.mantissa *= 100_000


def overcount_made(fill: Any) -> None:
    """Make the sum of an order's fills larger than they are."""
    fill.total_filled.mantissa += fill.fill_quantity.mantissa


LIES = {
    "taken through its limit": taken(Applied.BAD_PRICE, worsen_taken),
    "taken at price 0": taken(Applied.BAD_PRICE, lambda _, fill: setattr(fill, "fill_price_e9", 0)),
    "more taken than was left": taken(Applied.OVERFILL, overfill_taken),
    "made through its limit": made(Applied.BAD_PRICE, worsen_made),
    "more made than was left": made(Applied.OVERFILL, overfill_made),
    "made on the other side": made(Applied.BAD_FILL, change("side", lambda side: -side)),
    "more filled than was told": made(Applied.BAD_LEAVES, overcount_made),
    "an answer of another instrument": accepted(Applied.BAD_INSTRUMENT, change("instrument_id", lambda _: STRANGE_ID)),
}
