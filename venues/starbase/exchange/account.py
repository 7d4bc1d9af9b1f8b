"""What the simulated exchange's own books say of its client, and what its gateways may do to that client."""

from typing import Any

from crosswire.nic.rings.connection import reconnect
from crosswire.venues.adapter import ExchangeAccount, OpenOrder
from crosswire.venues.exchange.ring import is_settled, own_positions
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.gateway.gateway import close_connection
from crosswire.venues.starbase.exchange.gateway.send import resend
from crosswire.venues.starbase.exchange.matching.state import EXCHANGE_ORDERS_MAX, OrderPlace
from crosswire.venues.starbase.exchange.state import GATEWAYS, NONE, StarbaseExchange
from crosswire.venues.token_bucket import empty_until

CLIENT = 1  # the member that the configured API key is of


def own_orders(exchange: StarbaseExchange) -> Any:
    """List the client's orders and quotes that are open, held ones included, with the fields of `ExchangeOrder`."""
    orders: Any = exchange.matching.orders.numpy(EXCHANGE_ORDERS_MAX)
    return orders[(orders["place"] != OrderPlace.GONE) & (orders["member"] == CLIENT)]


def account_of(exchange: StarbaseExchange) -> ExchangeAccount:
    """Tell what the exchange's own books say of its client."""
    matching = exchange.matching
    member = matching.members[CLIENT]
    open_orders = [
        OpenOrder(
            int(each["order_id"]),
            int(each["instrument"]),
            int(each["side"]),
            int(each["price_ticks"]),
            int(each["qty_lots"] - each["filled_lots"]),
        )
        for each in own_orders(exchange)
    ]
    return ExchangeAccount(
        fills=member.fills,
        position_lots=own_positions(matching.market, exchange.venue, member.position_lots),
        open_orders=open_orders,
        is_settled=is_settled(exchange),
    )


def kill_gateway(exchange: StarbaseExchange, gateway: int, now_ns: int) -> None:
    """Let a gateway's process die and another start: its connections end, numbers and stored messages are kept."""
    restart_gateway(exchange, gateway, now_ns)


def connect_anew(exchange: StarbaseExchange, now_ns: int) -> None:
    """Take new connections of the client's next process; those of the last one end."""
    for stream in range(exchange.stream_count):
        reconnect(exchange, stream, now_ns)


def repeat_answers(exchange: StarbaseExchange, gateway: int, count: int, now_ns: int) -> None:
    """Let a gateway send the last `count` messages of each session that is logged on again, unasked."""
    for number in range(len(exchange.gateways.sessions)):
        session = exchange.gateways.sessions[number]
        if session.gateway == gateway and session.connection != NONE and session.send_sequence != 0:
            first = max(1, session.send_sequence - count + 1)
            resend(exchange, number, first, session.send_sequence, now_ns)


def displace(exchange: StarbaseExchange, gateway: int, now_ns: int) -> bool:
    """Let another client of the same key log on at a gateway, as far as the displaced one sees it; False: it has none.

    The other one sends nothing, and leaves the numbers as they are.
    """
    exchange.now_ns = max(exchange.now_ns, now_ns)
    for number in range(len(exchange.gateways.sessions)):
        session = exchange.gateways.sessions[number]
        if session.gateway == gateway and session.connection != NONE:
            session.displaced += 1
            close_connection(exchange, session.connection, exchange.now_ns)
            return True
    return False


def throttle(exchange: StarbaseExchange, until_ns: int) -> None:
    """Refuse all new orders, amends and mass quotes of the client before then, by rate."""
    for buckets in (exchange.gateways.order_tokens, exchange.gateways.quote_tokens):
        for gateway in range(GATEWAYS):
            empty_until(buckets[CLIENT * GATEWAYS + gateway], until_ns)
