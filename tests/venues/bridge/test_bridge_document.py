"""docs/bridge.md shows the layouts as they are: its tables are made from them.

`python -m tests.venues.bridge.test_bridge_document` writes the page.
"""

from crosswire.nic.memory.struct import Field, Scalar, StructMeta
from crosswire.venues.bridge.wire import layout, order_layout
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "bridge.md"
INTRODUCTION = """# The bridge protocol

Crosswire's own binary protocol, for exchanges that only offer TLS web APIs: a bridge near the exchange turns its
streams into this feed and takes orders for it. It is little-endian and packed, in the style of SBE: block lengths are
on the wire, so that readers can skip fields they do not know. The tables are made from `layout.py` and
`order_layout.py` in `venues/bridge/wire/`, which are the specification.

## Market data: UDP, at most 1,472 bytes of payload

One packet header, then `message_count` messages, each a message header, its root block, and its groups (group
header, then entries of `block_length` bytes). Prices are ticks, sizes lots of the instrument's definition.

* `sequence` counts packets of a channel by one. A gap loses every book of the channel until a snapshot proves it
  again; a packet whose number is at or below the last is a duplicate and is dropped.
* `flags` bit 0, END_OF_EVENT, marks the last packet of one event; a delta or snapshot too large for one packet is
  split, its later parts carry CONTINUATION, and the book is invalid until the last part.
* A delta applies when its `previous_id` is the book's id. One whose `last_id` is not above the book's id is stale and
  ignored. Right after a snapshot the first delta may straddle it: `previous_id <= id < last_id`. Anything else breaks
  the chain and loses the book.
* A best bid/ask overlays the book while its `update_id` is above the book's id.
* A mark price touches no book: prices and rate are in units of 1e-9, the rate is of the payment at `next_funding_ns`. A
  reader of a release without it counts each as of an unknown kind, and loses nothing.
"""
ORDERS = """## Orders: TCP

Messages back to back in the stream, each starting with its header; `sequence` counts from 1 in each direction.
Execution ids count up by one, and client order ids up, over all sessions of a client.

After its logon a client may ask for its account, with the last execution id that it knows. It is told the fills after
that one again, 64 at most, and then `AccountEnd`: with `more` it asks again from there, otherwise each open order and
each position that is not flat stand before it. The exchange remembers the last 16,384 fills; `missing` says that it has
forgotten some that were asked for.

`AmendOrder` gives an open order another price and quantity, what is filled included; one amend of an order may be under
way at a time. It is answered by `OrderAmended` with the very terms asked for, or by `AmendReject`, and then the order
is as it was. Where only the quantity changes, downwards, the order keeps its place in the queue if the exchange can do
that; else it goes to the end. `leaves_lots` of whatever follows is by the new quantity. An amend that a lost connection
leaves without an answer is not told of again: until the order has ended both its terms may hold.

An exchange with a limit of orders tells by `OrderLimit` how many new orders and amends it still takes, and until when:
at the logon, and whenever that is not what the client reckons by itself. The client holds back what is more until it is
told anew; `counted`, of this connection, says which of those under way were seen.

This is version 2 of the messages; version 1 had no amends and told no limits. An end that hears an older version ends
the session, says so in one line, and does not come back: run the same release at both ends.

A client whose connection has ended may open another one: messages count from 1 again, and the first is a logon. One
connection is served at a time: a new one displaces the one before, which gets a `Logout`, and whose open orders are
cancelled. What was filled meanwhile the account tells. Our session does that by itself after a loss, 1 s later and then
after twice as long each time, 30 s at most; it sends no order before it has read `AccountEnd`. It stays away when the
`Logout` says that it was displaced (5), or that its logon was refused (1).
"""


def type_name(field: Field) -> str:
    if not isinstance(field.element, Scalar):
        return field.element.__name__
    if field.count is None:
        return field.element.name
    return f"{'char' if field.element.name == 'u8' else field.element.name}[{field.count}]"


def table(cls: StructMeta) -> str:
    if not cls.fields:
        return "(no fields)"
    rows = [f"| {field.offset} | {field.name} | {type_name(field)} |" for field in cls.fields.values()]
    return "\n".join(["| off | field | type |", "|---|---|---|", *rows])


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, header in (
        ("Packet header", layout.PacketHeader),
        ("Message header", layout.MessageHeader),
        ("Group header", layout.GroupHeader),
    ):
        parts.append(f"### {title}\n\n{table(header)}\n")
    for message in layout.MESSAGES:
        parts.append(f"### {message.name}: template {message.template_id}\n\n{table(message.root)}\n")
        parts += [f"Group `{name}`, each entry:\n\n{table(entry)}\n" for name, entry in message.groups.items()]
    parts.append(ORDERS)
    parts += [f"### {each.name}: template {each.template_id}\n\n{table(each.root)}\n" for each in order_layout.MESSAGES]
    return "\n".join(parts).rstrip() + "\n"


def test_the_page_shows_the_layouts() -> None:
    assert PAGE.read_text() == render()


if __name__ == "__main__":
    PAGE.write_text(render())
