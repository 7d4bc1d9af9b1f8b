"""How a venue lists its wire messages: one table for decoder, encoder, tests and `crosswire inspect`."""

from dataclasses import dataclass, field

from crosswire.nic.memory.struct import StructMeta


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
