"""Trading on a simulated exchange over captures: the session at the engine's end, the gateway at the exchange's.

Captures tell how a venue's books went, not how it takes orders. So the exchange that is made from them takes orders in
Crosswire's own protocol, whichever venue's captures they are: `venues/bridge/orders` and `venues/bridge/exchange`.
"""

from collections.abc import Callable, Mapping

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.adapter import (
    ExchangeAccount,
    ExchangeFacts,
    ExchangeSetup,
    Gateways,
    GatewaySetup,
    OpenOrder,
    OrderEntry,
    VenueSetup,
    venue_key,
)
from crosswire.venues.bridge.orders.session import BridgeSession, ask_account, explain, make_bridge_session
from crosswire.venues.exchange.latencies import set_model, set_wires
from crosswire.venues.exchange.lies import Lie
from crosswire.venues.exchange.queue import Queue, QueueModel
from crosswire.venues.exchange.ring import is_settled, own_positions
from crosswire.venues.exchange.settings import EXACT, Measured, QueueConfig
from crosswire.venues.exchange.simulated import (
    SimulatedExchange,
    connect_anew,
    displace,
    kill_gateway,
    make_simulated_exchange,
    share_books,
    throttle,
)
from crosswire.venues.feed import Feed
from crosswire.venues.session import Resumed

HEARTBEAT_MS = 1_000
ALL_KNOWN = 1 << 62  # execution id: what no journal explains is not told fill by fill, but as a position


def replayed_order_entry(make_feed: Callable[[VenueSetup], Feed]) -> OrderEntry:
    """Describe trading on an exchange over captures, whose own feed `make_feed` makes."""

    def make_exchange(setup: ExchangeSetup) -> SimulatedExchange:
        feed = make_feed(setup)
        feed.ignores_definitions = int(setup.ignores_definitions)
        return make_replayed_exchange(feed, setup)

    return OrderEntry(
        make_session=make_session,
        make_exchange=make_exchange,
        make_gateways=make_gateways,
        explain=explain,
        account=account_of,
        kill_gateway=kill_gateway,
        connect_anew=connect_anew,
        resume=resume,
        displace=displace,
        throttle=throttle,
        share_books=share_books,
        facts=facts,
        lies=lies,
    )


def make_session(setup: VenueSetup) -> BridgeSession:
    """Make an order session, closed."""
    return make_bridge_session(
        setup.number,
        setup.market,
        setup.flows[0],
        session_id=venue_key(setup.name),
        heartbeat_interval_ms=HEARTBEAT_MS,
    )


def resume(session: BridgeSession, resumed: Resumed | None) -> None:
    """Have the session ask for what an earlier run missed; its numbers begin anew with each connection."""
    known = resumed.execution_id if resumed is not None else None
    ask_account(session, ALL_KNOWN if known is None else known)


def make_gateways(setup: GatewaySetup) -> Gateways:
    """Make the gateway of an exchange over captures on a real socket."""
    from crosswire.venues.exchange.gateways import ReplayedGateways  # a backtest needs no sockets

    return ReplayedGateways(setup)


def facts(exchange: SimulatedExchange, name: str) -> ExchangeFacts:
    """Tell what the exchange measured."""
    from crosswire.venues.exchange.facts import replayed_facts  # after a run

    return replayed_facts(exchange, name)


def lies() -> Mapping[str, Lie]:
    """Tell what the exchange can be made to say that is not so."""
    from crosswire.venues.bridge.exchange.lies import LIES  # only a simulation has them told

    return LIES


def make_replayed_exchange(feed: Feed, setup: ExchangeSetup) -> SimulatedExchange:
    """Make an exchange whose books are those of the captures. ValueError names what is out of range."""
    assert setup.replay is not None
    simulation = setup.simulation
    model = simulation.feed_latency
    is_measured = isinstance(model, Measured)
    try:
        exchange = make_simulated_exchange(
            feed,
            setup.number,
            setup.replay,
            setup.market,
            setup.flows[0],
            level_capacity=setup.level_capacity,
            feed_latency_ns=None if is_measured else 0,
            order_latency_ns=0,
            response_latency_ns=0,
            orders_per_second=simulation.orders_per_second,
            burst=simulation.burst,
            resting_max=simulation.max_resting_orders,
            latency_max_ns=model.max_ms * NS_PER_MS if is_measured else 0,
            linker=setup.linker,
        )
        if not is_measured:
            exchange.clock.constant_ns = set_model(exchange.clock.latency, "feed", model, setup.name, setup.folder)
        set_wires(exchange, setup)
        if simulation.queue is not None:
            set_queue(exchange.matching.queue, simulation.queue)
    except ValueError as error:
        raise ValueError(f"simulation: {error}") from None
    return exchange


def set_queue(queue: Queue, configured: QueueConfig) -> None:
    """Choose the model of resting orders' queues. ValueError if the captures can't have it."""
    if configured.model == EXACT:
        raise ValueError(f'queue = "{EXACT}": needs an exchange that matches order by order, not one over captures')
    queue.model = QueueModel[configured.model.upper()]
    queue.power = float(configured.n or 0)


def account_of(exchange: SimulatedExchange) -> ExchangeAccount:
    """Tell what the exchange's own books say of its client."""
    matching, gateway = exchange.matching, exchange.gateway
    resting = [matching.resting[place] for place in range(matching.resting_count)]
    return ExchangeAccount(
        fills=gateway.fills,
        position_lots=own_positions(exchange.market, matching.venue, gateway.position_lots),
        open_orders=[
            OpenOrder(each.exchange_order_id, each.instrument, each.side, each.price_ticks, each.leaves_lots)
            for each in resting
        ],
        is_settled=is_settled(exchange),
    )
