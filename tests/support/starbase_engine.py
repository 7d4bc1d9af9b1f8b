"""What an engine does with a Starbase session, on the ring of the simulated exchange in its own process."""

from random import Random

from crosswire.nic.packet import PROTOCOL_TCP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.ring import Frame, next_time_ns, poll, release
from crosswire.venues.order import (
    ORDERS_MAX,
    Applied,
    OrderState,
    ReportKind,
    Reports,
    TimeInForce,
    apply_report,
    cancel_sent,
    close_order,
    find_order,
    free_order,
    is_alarm,
    make_order_table,
)
from crosswire.venues.session import (
    keep_session,
    read_reports,
    start_session,
    write_cancel,
    write_new,
)
from crosswire.venues.starbase.exchange.state import StarbaseExchange
from crosswire.venues.starbase.orders.session import make_starbase_session
from tests.support.order_setup import VENUE, make_approval, make_market, open_order
from tests.support.starbase_exchange_client import KEYS, START_NS, order_flow


class Engine:
    """Session, orders and feed of an engine on the exchange's ring."""

    def __init__(self, exchange: StarbaseExchange, now_ns: int = START_NS) -> None:
        self.exchange, self.now_ns = exchange, now_ns
        self.market = make_market(1)
        key = KEYS[0]
        flows = (order_flow(0), order_flow(1))
        self.session = make_starbase_session(
            VENUE, self.market, flows, key.client_id.encode(), key.secret, tokens_per_ms=1_000_000, tokens_max=1_000_000
        )
        self.table, self.reports = make_order_table(), Reports()
        self.frame, self.packet, self.counters = Frame(), Packet(), PacketCounters()
        self.position = 0
        self.live: set[int] = set()
        self.alarms = 0
        self.told: list[int] = []  # execution ids
        self.frames: dict[int, tuple[int, int]] = {}  # link and number of each order's frame

    def start(self) -> None:
        start_session(self.session, self.exchange, self.now_ns)

    def run(self, span_ns: int) -> None:
        """Let time pass, stopping where something happens."""
        end_ns = self.now_ns + span_ns
        while self.now_ns <= end_ns:
            while poll(self.exchange, self.frame, self.now_ns):
                parse_packet(self.frame, self.packet, self.counters)
                if self.packet.protocol == PROTOCOL_TCP:
                    self.read()
                release(self.exchange)
            keep_session(self.session, self.exchange, self.now_ns)
            self.now_ns = min(max(self.now_ns + 1, next_time_ns(self.exchange)), end_ns + 1)

    def read(self) -> None:
        self.reports.count = 0
        read_reports(self.session, self.packet, self.reports)
        for place in range(self.reports.count):
            report = self.reports.items[place]
            outcome = apply_report(self.table, report, self.now_ns)
            self.alarms += is_alarm(outcome)
            if report.kind == ReportKind.FILL:
                self.told.append(report.execution_id)
            if report.kind == ReportKind.FILL and outcome in (Applied.UPDATED, Applied.CLOSED):
                self.position += report.qty_lots if report.side == 0 else -report.qty_lots
            if outcome == Applied.CLOSED:
                free_order(self.table, find_order(self.table, report.client_order_id))
                self.live.discard(report.client_order_id)

    def trade(self, random: Random) -> None:
        """A new order, or a cancel."""
        if random.random() < 0.7:
            side, price, lots = random.randint(0, 1), 1000 + random.randint(-6, 6), random.randint(1, 6)
            time_in_force = random.choice((TimeInForce.IOC, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.POST_ONLY))
            order = open_order(self.table, VENUE, 0, side, time_in_force, price, lots, self.now_ns)
            approval = make_approval(order.client_order_id, side, time_in_force, price, lots)
            if write_new(self.session, self.exchange, approval, self.now_ns):
                self.live.add(order.client_order_id)
                number = self.session.orders[order.client_order_id & (ORDERS_MAX - 1)].link
                sequence = self.session.links[number].stream.send_sequence
                self.frames[order.client_order_id] = (number, sequence)
            else:
                close_order(order, OrderState.VETOED, 0, self.now_ns)
                free_order(self.table, order)
        elif self.live:
            order = find_order(self.table, random.choice(sorted(self.live)))
            if order.state in (OrderState.PENDING_NEW, OrderState.LIVE):
                if write_cancel(self.session, self.exchange, order.client_order_id, 0, self.now_ns):
                    cancel_sent(order)
