"""Simulated Starbase: everything that happens there, in the order of its time."""

from crosswire.nic.packet import PROTOCOL_UDP, parse_packet
from crosswire.nic.rings.latency import note_frame
from crosswire.nic.rings.ring import NEVER_NS, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Entry, Unit
from crosswire.venues.starbase.exchange.background import background_event, next_background_ns
from crosswire.venues.starbase.exchange.gateway.answers import send_release, send_unfrozen, settle
from crosswire.venues.starbase.exchange.gateway.gateway import do_duties, next_duty_ns, receive_frame
from crosswire.venues.starbase.exchange.matching.matching import next_release_ns, release_order
from crosswire.venues.starbase.exchange.matching.quotes import next_protection_ns, open_windows, thaw_group
from crosswire.venues.starbase.exchange.publisher import answer_request, next_publishing_ns, publish_due
from crosswire.venues.starbase.exchange.state import Mistake, StarbaseExchange
from crosswire.venues.starbase.wire.order_layout import NULL_I64


@compiled
def next_quiet_ns(exchange: StarbaseExchange) -> int:
    """Tell when market data is next due though nothing happens; never after `end_ns`."""
    due_ns = next_publishing_ns(exchange.publisher)
    return due_ns if due_ns <= exchange.end_ns else NEVER_NS


@compiled
def catch_up(exchange: StarbaseExchange, now_ns: int) -> None:
    """Let everything happen at the exchange that happens until `now_ns`, or until the next frame from it arrives.

    What happens later can't arrive earlier, so nothing is missed, and no more is under way than on a real wire, however
    long nobody looked.
    """
    matching = exchange.matching
    while True:
        release_ns = next_release_ns(matching)
        background_ns = next_background_ns(exchange.background)
        order_ns = next_time_ns(exchange.orders)
        thaw_ns = next_protection_ns(matching)
        duty_ns = next_duty_ns(exchange)
        publishing_ns = next_quiet_ns(exchange)
        first_ns = min(release_ns, background_ns, order_ns, thaw_ns, duty_ns, publishing_ns)
        arrival_ns = min(next_time_ns(exchange.feed), next_time_ns(exchange.answers))
        if first_ns > min(now_ns, arrival_ns):
            return
        # Frames and events may be due earlier than the last: time stands still then.
        exchange.now_ns = max(exchange.now_ns, first_ns)
        if release_ns == first_ns:
            open_windows(matching, exchange.now_ns)
            release_order(matching)
            send_release(exchange, exchange.now_ns)
            settle(exchange, exchange.now_ns)
        elif background_ns == first_ns:
            open_windows(matching, exchange.now_ns)
            background_event(exchange.background, matching, exchange.now_ns)
            settle(exchange, exchange.now_ns)
        elif order_ns == first_ns:
            poll(exchange.orders, exchange.frame, first_ns)
            take_frame(exchange, exchange.now_ns)
            release(exchange.orders)
        elif thaw_ns == first_ns:
            thaw_due(exchange, exchange.now_ns)
        elif duty_ns == first_ns:
            do_duties(exchange, exchange.now_ns)
        else:
            publish_due(exchange.publisher, matching, exchange.venue, exchange.feed, exchange.now_ns)
        note_published(exchange)


@compiled
def note_published(exchange: StarbaseExchange) -> None:
    """Tell the wires from the exchange of the market data that it has published: it is what their load is."""
    while exchange.noted < exchange.feed.sent:
        exchange.noted += 1
        note_frame(exchange.feed.latency, exchange.now_ns)
        note_frame(exchange.answers.latency, exchange.now_ns)


@compiled
def take_frame(exchange: StarbaseExchange, now_ns: int) -> None:
    """Handle one frame of a client that reaches the exchange."""
    gateways = exchange.gateways
    if not parse_packet(exchange.frame, gateways.packet, gateways.parsed):
        gateways.mistakes[Mistake.NOT_TCP] += 1
    elif gateways.packet.protocol != PROTOCOL_UDP:
        receive_frame(exchange, exchange.frame, now_ns)
    elif gateways.packet.destination_port == exchange.publisher.retransmit_flow.source_port:
        answer_request(exchange.publisher, gateways.packet, exchange.feed, now_ns)
    else:
        gateways.mistakes[Mistake.NOT_TCP] += 1


@compiled
def thaw_due(exchange: StarbaseExchange, now_ns: int) -> None:
    """Let protection groups whose time is over take orders again."""
    matching = exchange.matching
    for index in range(matching.group_count):
        group = matching.groups[index]
        if group.is_frozen != 0 and group.freeze_ns != 0 and group.frozen_until_ns <= now_ns:
            thaw_group(group, now_ns)
            send_unfrozen(exchange, group, NULL_I64, now_ns)


def exchange_unit() -> Unit:
    """Describe the unit of all that happens at an exchange: too large for everything that polls one to have a copy."""
    return Unit("starbase-exchange", (Entry("catch_up", catch_up, (StarbaseExchange, "i64")),))
