"""A gate over two instruments, and what tests ask of it."""

from decimal import Decimal
from typing import Any

from crosswire.risk.gate import Veto, check, check_amend, check_quote
from crosswire.risk.ledger import count_fill, count_instrument, count_open, mark_positions, see_book
from crosswire.risk.limits import (
    AccountLimitsConfig,
    InstrumentLimitsConfig,
    RunLimitsConfig,
    StrategyLimitsConfig,
    UnderlyingLimitsConfig,
    VenueLimitsConfig,
    make_gate,
    set_instrument_limits,
    set_price_bands,
    set_strategy_limits,
    set_venue_limits,
)
from crosswire.venues.book.book import make_books
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text
from crosswire.venues.market import Market
from crosswire.venues.order import (
    VENUES_MAX,
    Approval,
    Approvals,
    Order,
    OrderState,
    TimeInForce,
    make_order_table,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.side import BUY, SELL
from tests.support.order_setup import open_order

NOW_NS = 1_700_000_000 * E9


class Setup:
    """Instruments of one underlying at 100.0, linear and inverse by turns; each at a venue of its own if it can."""

    def __init__(
        self,
        kinds: tuple[Kind, ...] = (Kind.PERPETUAL, Kind.PERPETUAL),
        instruments: int = 2,
        venues: int = VENUES_MAX,
        strategies: tuple[StrategyLimitsConfig | None, ...] = (None, None),
        **changes: Any,
    ) -> None:
        self.market = Market(count=instruments, capacity=instruments)
        self.market.instruments = Instrument.array(instruments)
        self.market.books = make_books(instruments, 64)
        for index, instrument in enumerate(self.market.instruments):
            instrument.index, instrument.venue = index, index % venues
            instrument.tick_e9, instrument.kind = E9 // 10, kinds[min(index, len(kinds) - 1)]
            if index % 2 == 0:
                instrument.lot_e9, instrument.tick_lot_e9 = E9 // 1000, E9 // 10_000
            else:
                instrument.lot_e9, instrument.payoff = E9, Payoff.INVERSE
            set_text(instrument.quote, "USD" if index % 2 else "USDT")
        for book in self.market.books:
            book.valid, book.receive_time_ns = 1, NOW_NS
            book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots = 999, 5, 1001, 5
        limits: dict[str, Any] = {
            "order_max": Decimal(10),
            "order_notional_max": Decimal(900),
            "position_max": Decimal(20),
            "price_max": Decimal(10_000),
            "price_collar_bps": Decimal(100),
            "book_age_max_ms": 1000,
            "mark_age_max_ms": 5000,
            "borrow_max": None,
        }
        underlying: dict[str, Any] = {"gross_max": Decimal(2500), "net_max": Decimal(1500), "delta_max": Decimal(1000)}
        underlying |= {"price_band_bps": None, "leg_risk": None}
        run: dict[str, Any] = {"loss_max": Decimal(50), "realised_loss_max": None, "self_trade_prevention": False}
        run |= {"dead_man_ms": None, "repeated_execution": None}
        account: dict[str, Any] = {"account_gross_max": Decimal(10_000), "account_net_max": Decimal(10_000)}
        account |= {"account_orders_per_second": 1000, "account_burst": 1000}
        venue: dict[str, Any] = {"orders_per_second": 10, "burst": 5, "open_orders_max": 3}
        venue |= {"notional_max": Decimal(10_000), "order_to_trade": None}
        for key, value in changes.items():
            next(part for part in (limits, underlying, run, account, venue) if key in part)[key] = value
        configured = RunLimitsConfig(
            **run,
            account=AccountLimitsConfig(**{key.removeprefix("account_"): value for key, value in account.items()}),
            underlying={"BTC": UnderlyingLimitsConfig(**underlying)},
        )
        self.gate = make_gate(self.market, configured, ["BTC"])
        self.gate.orders = self.orders = make_order_table()
        for index, instrument in enumerate(self.market.instruments):
            set_instrument_limits(self.gate, instrument, InstrumentLimitsConfig(**limits), f"i{index}")
        for index in range(min(instruments, venues)):
            set_venue_limits(self.gate, index, VenueLimitsConfig(**venue), f"v{index}")
            self.gate.venues[index].session_state = SessionState.READY
        set_price_bands(self.gate, configured, ["BTC"])
        set_strategy_limits(self.gate, strategies, [f"s{number}" for number in range(len(strategies))])
        self.mark()
        self.approval = Approval()
        self.approvals = Approvals()
        self.last_id = 0

    def mark(self, now_ns: int = NOW_NS) -> bool:
        """See all books, and judge what is held by them."""
        for index, book in enumerate(self.market.books):
            see_book(self.gate, index, book, now_ns)
        return bool(mark_positions(self.gate, now_ns))

    def hold(self, instrument: int, position: int, open_buy: int = 0, open_sell: int = 0) -> None:
        """Hold a position, with this much open."""
        held = self.gate.positions[instrument]
        held.position_lots, held.open_buy_lots, held.open_sell_lots = position, open_buy, open_sell
        count_instrument(self.gate, instrument)

    def ask(
        self,
        instrument: int = 0,
        side: int = BUY,
        price: int = 1000,
        lots: int = 1,
        now_ns: int = NOW_NS,
        strategy: int = 0,
        time_in_force: int = TimeInForce.IOC,
    ) -> Veto:
        self.last_id += 1
        order = Order(
            strategy=strategy,
            client_order_id=self.last_id,
            instrument=instrument,
            side=side,
            time_in_force=time_in_force,
            price_ticks=price,
            qty_lots=lots,
        )
        return Veto(check(self.gate, self.approval, order, now_ns))

    def rest(self, instrument: int, side: int, price: int, lots: int, **changes: int) -> Order:
        """Have an order of ours live at the venue, however it came there."""
        order = open_order(self.orders, instrument, instrument, side, TimeInForce.GTC, price, lots, NOW_NS)
        order.state = OrderState.LIVE
        for name, value in changes.items():
            setattr(order, name, value)
        count_open(self.gate, instrument, order.strategy, side, 1, lots)
        return order

    def fill(
        self,
        instrument: int,
        side: int,
        price: int,
        lots: int,
        fee_e9: int = 0,
        now_ns: int = NOW_NS,
        strategy: int = 0,
    ) -> bool:
        """Book an execution; True: everything is to be cancelled."""
        return bool(count_fill(self.gate, instrument, strategy, side, price, lots, fee_e9, now_ns))

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

    def quote(
        self,
        bid: int,
        bid_lots: int,
        ask: int,
        ask_lots: int,
        instrument: int = 0,
        is_quote: int = 0,
        time_in_force: int = TimeInForce.POST_ONLY,
    ) -> Veto:
        sides = [
            Order(
                client_order_id=self.last_id + 1 + side,
                is_quote=is_quote,
                instrument=instrument,
                side=side,
                time_in_force=time_in_force,
                price_ticks=price,
                qty_lots=lots,
            )
            for side, price, lots in ((BUY, bid, bid_lots), (SELL, ask, ask_lots))
        ]
        self.last_id += 2
        return Veto(check_quote(self.gate, self.approvals, *sides, NOW_NS))
