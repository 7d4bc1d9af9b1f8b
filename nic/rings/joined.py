"""`JoinedRing`: one venue's ring made of several: its market data lines (A and B, or several queues) and its orders.

Orders' answers are looked at first, the lines in turn, each poll beginning after the line that gave the last frame.
After ORDERS_IN_A_ROW_MAX answers the lines come first once, so neither can starve the other.
"""

from typing import TYPE_CHECKING, Annotated, Any

from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.struct import Pointer, Struct, i64, one
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import NEVER_NS, Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled

LINES_MAX = 4
ORDERS_IN_A_ROW_MAX = 8
_ORDERS = LINES_MAX  # `polled`: the orders' ring


class NoLine(Struct):
    """In place of the lines that a venue does not have."""

    counters: RingCounters


@poll.register(NoLine)
def poll_no_line(_line: NoLine, _frame: Frame, _now_ns: int) -> bool:
    return False


@release.register(NoLine)
def release_no_line(_line: NoLine) -> None:
    pass


@flush.register(NoLine)
def flush_no_line(_line: NoLine) -> None:
    pass


@next_time_ns.register(NoLine)
def next_no_line_ns(_line: NoLine) -> int:
    return NEVER_NS


class JoinedRing(Struct):
    """Base class: `joined_ring_over` adds `orders` and `receive0` to `receive3`, pointers to the rings inside."""

    lines: i64
    turn: i64  # line that is looked at first
    polled: i64  # line that the last poll's frame came from, or _ORDERS
    orders_in_a_row: i64
    counters: RingCounters  # sums over the rings inside; `empty_polls`: all of them were
    if TYPE_CHECKING:
        orders: Any
        receive0: Any
        receive1: Any
        receive2: Any
        receive3: Any


@compiled
def poll_one(ring: JoinedRing, line: int, frame: Frame, now_ns: int) -> bool:
    """Poll the line of this number."""
    if line == 0:
        return poll(ring.receive0[0], frame, now_ns)
    if line == 1:
        return poll(ring.receive1[0], frame, now_ns)
    if line == 2:
        return poll(ring.receive2[0], frame, now_ns)
    return poll(ring.receive3[0], frame, now_ns)


@compiled
def poll_lines(ring: JoinedRing, frame: Frame, now_ns: int) -> bool:
    """Poll each line once, until one has a frame."""
    for _ in range(ring.lines):
        line = ring.turn
        ring.turn = line + 1 if line + 1 < ring.lines else 0
        if poll_one(ring, line, frame, now_ns):
            ring.polled = line
            return True
    return False


@compiled
def poll_orders(ring: JoinedRing, frame: Frame, now_ns: int) -> bool:
    """Poll the orders' ring."""
    if poll(ring.orders[0], frame, now_ns):
        ring.polled = _ORDERS
        return True
    return False


@compiled
def sum_counters(ring: JoinedRing) -> None:
    """Sum what the rings inside count by themselves. Of the rest `poll` keeps the sums."""
    orders = ring.orders[0].counters
    first, second = ring.receive0[0].counters, ring.receive1[0].counters
    third, fourth = ring.receive2[0].counters, ring.receive3[0].counters
    ring.counters.drops = orders.drops + first.drops + second.drops + third.drops + fourth.drops
    ring.counters.wakeups = orders.wakeups + first.wakeups + second.wakeups + third.wakeups + fourth.wakeups


@poll.register(JoinedRing)
def poll_line(ring: JoinedRing, frame: Frame, now_ns: int) -> bool:
    if ring.orders_in_a_row < ORDERS_IN_A_ROW_MAX:
        if poll_orders(ring, frame, now_ns):
            ring.orders_in_a_row += 1
        elif poll_lines(ring, frame, now_ns):
            ring.orders_in_a_row = 0
        else:
            ring.counters.empty_polls += 1
            sum_counters(ring)
            return False
    else:
        ring.orders_in_a_row = 0
        if not poll_lines(ring, frame, now_ns) and not poll_orders(ring, frame, now_ns):
            ring.counters.empty_polls += 1
            sum_counters(ring)
            return False
    ring.counters.frames += 1
    ring.counters.bytes += frame.length
    return True


@release.register(JoinedRing)
def release_line(ring: JoinedRing) -> None:
    line = ring.polled
    if line == _ORDERS:
        release(ring.orders[0])
    elif line == 0:
        release(ring.receive0[0])
    elif line == 1:
        release(ring.receive1[0])
    elif line == 2:
        release(ring.receive2[0])
    else:
        release(ring.receive3[0])


@reserve.register(JoinedRing)
def reserve_line(ring: JoinedRing, length: int) -> int:
    address = reserve(ring.orders[0], length)
    if address == 0:
        sum_counters(ring)
    return address


@commit.register(JoinedRing)
def commit_line(ring: JoinedRing, length: int, now_ns: int) -> None:
    commit(ring.orders[0], length, now_ns)


@flush.register(JoinedRing)
def flush_line(ring: JoinedRing) -> None:
    """Flush the orders' ring: only that one sends."""
    flush(ring.orders[0])


@next_time_ns.register(JoinedRing)
def next_line_ns(ring: JoinedRing) -> int:
    """The earliest time of all lines; a line whose replay must be refilled (a negative time) comes before all."""
    first_ns = min(next_time_ns(ring.receive0[0]), next_time_ns(ring.receive1[0]))
    second_ns = min(next_time_ns(ring.receive2[0]), next_time_ns(ring.receive3[0]))
    return min(next_time_ns(ring.orders[0]), first_ns, second_ns)


@connection_of.register(JoinedRing)
def connection_of_line(ring: JoinedRing, stream: int) -> int:
    return connection_of(ring.orders[0], stream)


@select_stream.register(JoinedRing)
def select_line_stream(ring: JoinedRing, stream: int) -> None:
    select_stream(ring.orders[0], stream)


@reconnect.register(JoinedRing)
def reconnect_line(ring: JoinedRing, stream: int, now_ns: int) -> None:
    reconnect(ring.orders[0], stream, now_ns)


def joined_ring_over(orders: type[Struct], receive: tuple[type[Struct], ...]) -> type[JoinedRing]:
    """The class of lines of these classes; ValueError if there are more than LINES_MAX."""
    if len(receive) > LINES_MAX:
        raise ValueError(f"{len(receive)} receive rings: a line has at most {LINES_MAX}")
    padded = receive + (NoLine,) * (LINES_MAX - len(receive))
    fields: dict[str, Any] = {f"receive{line}": Annotated[Pointer, cls] for line, cls in enumerate(padded)}
    return made_class(JoinedRing, (orders, *receive), fields | {"orders": Annotated[Pointer, orders]})


def make_joined_ring(orders: Struct, receive: tuple[Struct, ...]) -> JoinedRing:
    """Make one ring of these, which must be different rings; the caller keeps their owners alive."""
    ring = joined_ring_over(type(orders), tuple(map(type, receive)))(lines=len(receive))
    ring.orders = one(orders)
    for line in range(LINES_MAX):
        setattr(ring, f"receive{line}", one(receive[line] if line < len(receive) else NoLine()))
    return ring


def __getattr__(name: str) -> type[JoinedRing]:
    orders, *receive = inner_classes(name)
    return joined_ring_over(orders, tuple(receive))
