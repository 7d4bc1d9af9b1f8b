"""A gate over two instruments, and what tests ask of it."""

from decimal import Decimal

from crosswire.risk.gate import Veto, check, check_amend, check_quote
from crosswire.risk.ledger import count_instrument, mark_positions, see_book
from crosswire.risk.limits import (
    InstrumentLimitsConfig,
    RunLimitsConfig,
    UnderlyingLimitsConfig,
    VenueLimitsConfig,
    make_gate,
    set_instrument_limits,
    set_venue_limits,
)
from crosswire.venues.book.book import make_books
from crosswire.venues.instrument import E9, Instrument, Payoff
from crosswire.venues.market import Market
from crosswire.venues.order import Approval, Approvals, Order, OrderState, SessionState, TimeInForce
from crosswire.venues.side import BUY, SELL

NOW_NS = 1_700_000_000 * E9


class Setup:
    """Two instruments of one underlying at 100.0: a linear one on venue 0, an inverse one on venue 1."""

    def __init__(self, **changes: Decimal | int) -> None:
        self.market = Market(count=2, capacity=2)
        self.market.instruments = Instrument.array(2)
        self.market.books = make_books(2, 64)
        linear, inverse = self.market.instruments
        linear.tick_e9, linear.lot_e9, linear.tick_lot_e9 = E9 // 10, E9 // 1000, E9 // 10_000
        inverse.index, inverse.venue, inverse.payoff = 1, 1, Payoff.INVERSE
        inverse.tick_e9, inverse.lot_e9 = E9 // 10, E9
        for book in self.market.books:
            book.valid, book.receive_time_ns = 1, NOW_NS
            book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots = 999, 5, 1001, 5
        limits = {
            "order_max": Decimal(10),
            "order_notional_max": Decimal(900),
            "position_max": Decimal(20),
            "price_max": Decimal(10_000),
            "price_collar_bps": Decimal(100),
            "book_age_max_ms": 1000,
            "mark_age_max_ms": 5000,
        }
        run = {"loss_max": Decimal(50), "gross_max": Decimal(2500), "net_max": Decimal(1500)}
        venue = {"orders_per_second": 10, "burst": 5, "open_orders_max": 3}
        for key, value in changes.items():
            next(part for part in (limits, run, venue) if key in part)[key] = value
        underlying = UnderlyingLimitsConfig(gross_max=run["gross_max"], net_max=run["net_max"])
        self.gate = make_gate(
            self.market, RunLimitsConfig(loss_max=run["loss_max"], underlying={"BTC": underlying}), ["BTC"]
        )
        for index, instrument in enumerate(self.market.instruments):
            set_instrument_limits(self.gate, instrument, InstrumentLimitsConfig(**limits), f"i{index}")
            set_venue_limits(self.gate, index, VenueLimitsConfig(**venue), f"v{index}")
            self.gate.venues[index].session_state = SessionState.READY
        self.mark()
        self.approval = Approval()
        self.approvals = Approvals()
        self.last_id = 0

    def mark(self, now_ns: int = NOW_NS) -> bool:
        """See all books, and judge what is held by them."""
        for index, book in enumerate(self.market.books):
            see_book(self.gate, index, book)
        return bool(mark_positions(self.gate, now_ns))

    def hold(self, instrument: int, position: int, open_buy: int = 0, open_sell: int = 0) -> None:
        """Hold a position, with this much open."""
        held = self.gate.positions[instrument]
        held.position_lots, held.open_buy_lots, held.open_sell_lots = position, open_buy, open_sell
        count_instrument(self.gate, instrument)

    def ask(self, instrument: int = 0, side: int = BUY, price: int = 1000, lots: int = 1, now_ns: int = NOW_NS) -> Veto:
        self.last_id += 1
        return Veto(self._check(self.last_id, instrument, side, price, lots, now_ns))

    def _check(self, order_id: int, instrument: int, side: int, price: int, lots: int, now_ns: int) -> int:
        order = Order(
            client_order_id=order_id,
            instrument=instrument,
            side=side,
            time_in_force=TimeInForce.IOC,
            price_ticks=price,
            qty_lots=lots,
        )
        return int(check(self.gate, self.approval, order, now_ns))

    def amend(self, price: int = 1000, lots: int = 1, **changes: int) -> Veto:
        """Of a live order to buy 5 at 1000, of which 2 are filled; its 3 are open."""
        order = Order(
            client_order_id=1,
            side=BUY,
            state=OrderState.LIVE,
            time_in_force=TimeInForce.GTC,
            price_ticks=1000,
            qty_lots=5,
            filled_lots=2,
        )
        for name, value in changes.items():
            setattr(order, name, value)
        return Veto(check_amend(self.gate, self.approval, order, price, lots, NOW_NS))

    def quote(self, bid: int, bid_lots: int, ask: int, ask_lots: int, instrument: int = 0) -> Veto:
        sides = [
            Order(
                client_order_id=self.last_id + 1 + side,
                instrument=instrument,
                side=side,
                time_in_force=TimeInForce.POST_ONLY,
                price_ticks=price,
                qty_lots=lots,
            )
            for side, price, lots in ((BUY, bid, bid_lots), (SELL, ask, ask_lots))
        ]
        self.last_id += 2
        return Veto(check_quote(self.gate, self.approvals, *sides, NOW_NS))
