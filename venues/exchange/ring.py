"""The engine's end of every simulated exchange: orders go in, market data and answers come out."""

from crosswire.nic.memory.raw import fnv1a
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import FLAG_SYN, TCP_FRAME_HEADER_BYTES, Flow, seal_tcp_frame, write_tcp_frame_header
from crosswire.nic.rings.delay import DelayRing
from crosswire.nic.rings.ring import RingCounters, commit, flush, reserve
from crosswire.nic.tcp_frames import TCP_WINDOW
from crosswire.nic.unit.compile import compiled
from crosswire.venues.market import Market

# What a `poll` gave.
NOTHING = 0
MARKET_DATA = 1
ANSWER = 2


class ExchangeRing(Struct):
    """A ring with an exchange at its other end, behind a wire of its own for orders and one for answers."""

    now_ns: i64  # exchange time of the last thing that happened there
    digest: i64  # FNV-1a over every frame that the engine committed, in order
    order_address: i64  # of the frame that the engine is writing
    lost_orders: i64  # frames of the engine that the wire had no room for
    polled: i64  # what the last `poll` gave: NOTHING, MARKET_DATA or ANSWER
    counters: RingCounters  # of the engine's side
    orders: DelayRing
    answers: DelayRing


@reserve.register(ExchangeRing)
def reserve_order(exchange: ExchangeRing, length: int) -> int:
    exchange.order_address = reserve(exchange.orders, length)
    if exchange.order_address == 0:
        exchange.lost_orders += 1
    return exchange.order_address


@commit.register(ExchangeRing)
def commit_order(exchange: ExchangeRing, length: int, now_ns: int) -> None:
    exchange.digest = fnv1a(exchange.digest, exchange.order_address, length)
    commit(exchange.orders, length, now_ns)


@flush.register(ExchangeRing)
def flush_orders(_exchange: ExchangeRing) -> None:
    """Do nothing: a committed frame is on its way."""


@compiled
def send_syn(exchange: ExchangeRing, flow: Flow, now_ns: int) -> bool:
    """Send what opens a connection of an engine in the same process, behind all that was sent before; False: no room.

    `flow` goes from the engine to the exchange.
    """
    slot = reserve(exchange.orders, TCP_FRAME_HEADER_BYTES)
    if slot == 0:
        return False
    write_tcp_frame_header(slot, flow, TCP_WINDOW)
    commit(exchange.orders, seal_tcp_frame(slot, 0, 0, 0, FLAG_SYN), now_ns)
    return True


def is_settled(exchange: ExchangeRing) -> bool:
    """Tell whether nothing is under way between the engine and the exchange."""
    return exchange.orders.sent == exchange.orders.received and exchange.answers.sent == exchange.answers.received


def own_positions(market: Market, venue: int, position_lots: Array) -> dict[int, int]:
    """Pick the positions in a venue's own instruments, by market index."""
    return {index: position_lots[index] for index in range(market.count) if market.instruments[index].venue == venue}
