"""How a venue lists its wire messages: one table for decoder, encoder, tests and `crosswire inspect`."""

from dataclasses import dataclass, field

from crosswire.nic.memory.struct import Struct, StructMeta


@dataclass(frozen=True)
class Message:
    """One message kind: its name and template id on the wire, its root block, its repeating groups in wire order.

    `texts` names the variable-length strings after the groups, in wire order.
    """

    name: str
    template_id: int
    root: StructMeta
    groups: dict[str, StructMeta] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WireLayout:
    """How a venue frames its market data: a packet header, then messages back to back."""

    messages: tuple[Message, ...]
    packet_header: type[Struct]
    message_header: type[Struct]  # has `template_id`; `block_length` unless each root block is as long as the layout's
    group_header: type[Struct]  # has `block_length`, of an entry
    entry_count: str  # its field that counts the entries
    text_header: type[Struct] | None = None  # has `length`; None: there are no texts
    message_length: str = ""  # the message header's field with the length of it all; "": it ends with its last part
