"""Where a message's groups begin when its sender knows a later version than we do.

Fields that a later version appends to a root block are to be stepped over. Neither schema's messages say how long their
root block is; but a group says how long its entries are, and the groups and texts end where the message does. So the
root block is taken to be as long as it has to be for that; if several lengths would do, or none, the message is not
believed.
"""

from crosswire.nic.memory.raw import load_u8
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.layout import Message
from crosswire.venues.starbase.wire.order_layout import GroupHeader

GROWTH_MAX = 64  # bytes that later versions may have appended to a root block, or to an entry
GROUPS_MAX = 4  # of one message


def tail_of(message: Message) -> tuple[int, ...]:
    """Describe what follows a message's root block: its template, bytes of an entry of each group, number of texts."""
    sizes = [entry.size for entry in message.groups.values()]
    assert len(sizes) <= GROUPS_MAX
    sizes += [0] * (GROUPS_MAX - len(sizes))
    return (int(message.template_id), *sizes, len(message.texts))


@compiled
def find_groups(tail: tuple[int, ...], position: int, end: int, padding_max: int) -> int:
    """Find where the groups begin of a message whose root block, as we know it, ends at `position`; 0: nowhere.

    `end` is behind the message, with up to `padding_max` bytes of padding.
    """
    found = 0
    for start in range(position, min(position + GROWTH_MAX, end) + 1):
        behind = _walk(tail, start, end)
        if behind != 0 and end - behind <= padding_max:
            if found != 0:
                return 0
            found = start
    return found


@compiled
def _walk(tail: tuple[int, ...], position: int, end: int) -> int:
    """Pass over groups and texts that begin at `position`; the address behind them, 0 if they can't begin there."""
    for place in range(1, 1 + GROUPS_MAX):
        entry_bytes = tail[place]
        if entry_bytes != 0:
            if end - position < size_of(GroupHeader):
                return 0
            header = view(GroupHeader, position)
            position += size_of(GroupHeader)
            stride = header.block_length
            if stride < entry_bytes or stride > entry_bytes + GROWTH_MAX or header.count * stride > end - position:
                return 0
            position += header.count * stride
    for _ in range(tail[1 + GROUPS_MAX]):
        if position >= end or position + 1 + load_u8(position) > end:
            return 0
        position += 1 + load_u8(position)
    return position
