"""The venue's record of its one client in one market: orders, fills, balances, positions. Tests compare with it.

Money is in 1e-9 of its currency, sizes are in lots, positions in signed lots.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from crosswire.venues.bridge.binance.exchange.errors import is_number
from crosswire.venues.bridge.binance.exchange.journal import Journal
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.venue import Venue
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import to_e9
from crosswire.venues.instrument import E9
from crosswire.venues.side import BUY

OPEN_STATES = ("NEW", "PARTIALLY_FILLED")
FIRST_ORDER_ID = {Market.SPOT: 10_000_000_000, Market.USDM: 8_389_765_500_000_000, Market.COINM: 20_000_000_000}
FIRST_TRADE_ID = 7_000_000_000
COMMISSION_E9 = 10  # commissions have eight decimals


class Order(msgspec.Struct, kw_only=True):
    """One order, whatever became of it."""

    order_id: int
    client_id: str
    symbol: str
    side: int
    kind: str  # LIMIT, LIMIT_MAKER, MARKET
    time_in_force: str
    price_ticks: int  # 0 of a MARKET order
    qty_lots: int
    match_id: int  # by which the matching knows it
    created_ms: int
    updated_ms: int
    stp: str
    reduce_only: bool = False
    filled_lots: int = 0
    value_e9: int = 0  # of its fills, in the quote currency
    status: str = "NEW"
    amendments: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether it can still trade."""
        return self.status in OPEN_STATES

    @property
    def leaves_lots(self) -> int:
        """Count what is not filled."""
        return self.qty_lots - self.filled_lots


class Fill(msgspec.Struct, kw_only=True):
    """One trade of an order."""

    trade_id: int
    order_id: int
    symbol: str
    side: int
    price_ticks: int
    qty_lots: int
    value_e9: int
    is_maker: bool
    commission_e9: int
    commission_asset: str
    realized_e9: int
    time_ms: int


@dataclass
class Position:
    """What is held of a future, and what it cost."""

    lots: int = 0
    cost_e9: int = 0  # value at entry, signed as the lots are

    def trade(self, signed_lots: int, value_e9: int) -> int:
        """Take up a trade; return what it realises."""
        signed_value_e9 = value_e9 if signed_lots > 0 else -value_e9
        if self.lots * signed_lots >= 0:
            self.lots += signed_lots
            self.cost_e9 += signed_value_e9
            return 0
        closed = min(abs(signed_lots), abs(self.lots))
        closed_cost_e9 = self.cost_e9 * closed // abs(self.lots)
        closed_value_e9 = -signed_value_e9 * closed // abs(signed_lots)
        self.cost_e9 -= closed_cost_e9
        self.lots += signed_lots
        if self.lots * signed_lots > 0:  # turned around
            self.cost_e9 = signed_value_e9 + closed_value_e9
        return closed_value_e9 - closed_cost_e9


class Account:
    """The client's account in one market."""

    def __init__(
        self, venue: Venue, balances: dict[str, str], journal: Journal, third: tuple[str, int], name: str
    ) -> None:
        self.venue = venue
        self.journal = journal
        self.name = name
        self.third_asset, self.third_price_e9 = third
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}  # by match_id
        self.fills: list[Fill] = []
        self.balances = {asset: to_e9(text, asset) for asset, text in balances.items()}
        self.positions: dict[str, Position] = {}
        self.last_order_id = FIRST_ORDER_ID[venue.market]
        self.last_trade_id = FIRST_TRADE_ID
        self.last_match_id = 0
        self.step: dict[str, list[Any]] = {}
        self.waiting: list[Callable[[], None]] = []  # events to tell once the step is written

    def listed(self, symbol: str) -> Listed:
        """Find an instrument that is known."""
        return self.venue.by_symbol[symbol]

    def next_order_id(self) -> int:
        """Number an order."""
        self.last_order_id += 1
        return self.last_order_id

    def next_match_id(self) -> int:
        """Number an order for the matching, whose ids count up."""
        self.last_match_id += 1
        return self.last_match_id

    def keep(self, order: Order) -> None:
        """Take up an order as it is now; it is written with the step."""
        self.orders[order.order_id] = order
        if order.is_open:
            self.open[order.match_id] = order
        else:
            self.open.pop(order.match_id, None)
        copies = [each for each in self.step.setdefault("orders", []) if each.order_id != order.order_id]
        self.step["orders"] = [*copies, msgspec.structs.replace(order)]

    def commit(self) -> None:
        """Write the step, and then tell what it was."""
        if self.step:
            self.journal.write({"account": self.name} | self.step)
            self.step = {}
        waiting, self.waiting = self.waiting, []
        for tell in waiting:
            tell()

    def restore(self, step: dict[str, Any]) -> None:
        """Take up a step of an earlier process."""
        for raw in step.get("orders", []):
            order = msgspec.convert(raw, Order)
            former = self.orders.get(order.order_id, order)
            self.open.pop(former.match_id, None)  # an amended order has another one than it had
            self.orders[order.order_id] = order
            if order.is_open:
                self.open[order.match_id] = order
            self.last_order_id = max(self.last_order_id, order.order_id)
            self.last_match_id = max(self.last_match_id, order.match_id)
        for raw in step.get("fills", []):
            fill = msgspec.convert(raw, Fill)
            self._book(fill)
            self.fills.append(fill)
            self.last_trade_id = max(self.last_trade_id, fill.trade_id)

    def fill(self, order: Order, price_ticks: int, lots: int, fee_e9: int, *, is_maker: bool) -> Fill:
        """Book one trade of an order."""
        listed = self.listed(order.symbol)
        value_e9 = value_of(listed, price_ticks, lots)
        self.last_trade_id += 1
        asset, commission_e9 = self._commission(listed, order.side, lots, fee_e9, is_maker=is_maker)
        fill = Fill(
            trade_id=self.last_trade_id,
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            price_ticks=price_ticks,
            qty_lots=lots,
            value_e9=value_e9,
            is_maker=is_maker,
            commission_e9=commission_e9,
            commission_asset=asset,
            realized_e9=0,
            time_ms=self.venue.clock.now_ms(),
        )
        fill.realized_e9 = self._book(fill)
        self.fills.append(fill)
        order.filled_lots += lots
        order.value_e9 += value_e9
        order.updated_ms = fill.time_ms
        order.status = "FILLED" if order.leaves_lots == 0 else "PARTIALLY_FILLED"
        self.step.setdefault("fills", []).append(fill)
        self.keep(order)
        return fill

    def _commission(self, listed: Listed, side: int, lots: int, fee_e9: int, *, is_maker: bool) -> tuple[str, int]:
        """Find what a trade costs, and in which currency: spot charges what is received, unless a third one is set."""
        if self.third_asset:
            asset, commission_e9 = self.third_asset, fee_e9 * E9 // self.third_price_e9
        elif self.venue.market == Market.SPOT and side == BUY:
            rate_e9 = listed.maker_fee_e9 if is_maker else listed.taker_fee_e9
            asset, commission_e9 = listed.base, lots * listed.lot_e9 * rate_e9 // E9
        else:
            asset, commission_e9 = listed.settlement, fee_e9
        return asset, commission_e9 // COMMISSION_E9 * COMMISSION_E9

    def _book(self, fill: Fill) -> int:
        """Move money and holdings; return what was realised."""
        listed = self.listed(fill.symbol)
        sign = 1 if fill.side == BUY else -1
        realized_e9 = 0
        if self.venue.market == Market.SPOT:
            self.add(listed.base, sign * fill.qty_lots * listed.lot_e9)
            self.add(listed.quote_asset, -sign * fill.value_e9)
        else:
            position = self.positions.setdefault(fill.symbol, Position())
            realized_e9 = position.trade(sign * fill.qty_lots, fill.value_e9)
            self.add(listed.settlement, realized_e9)
        self.add(fill.commission_asset, -fill.commission_e9)
        return realized_e9

    def add(self, asset: str, amount_e9: int) -> None:
        """Change a balance."""
        self.balances[asset] = self.balances.get(asset, 0) + amount_e9

    def locked_e9(self, asset: str) -> int:
        """Sum what open orders of spot have locked of a currency."""
        locked = 0
        for order in self.open.values():
            listed = self.listed(order.symbol)
            if order.side == BUY and listed.quote_asset == asset:
                locked += value_of(listed, order.price_ticks, order.leaves_lots)
            elif order.side != BUY and listed.base == asset:
                locked += order.leaves_lots * listed.lot_e9
        return locked

    def open_orders(self, symbol: str = "") -> list[Order]:
        """List open orders, the oldest first."""
        found = [order for order in self.open.values() if symbol in ("", order.symbol)]
        return sorted(found, key=lambda order: order.order_id)

    def find(self, symbol: str, order_id: str, client_id: str) -> Order | None:
        """Find an order by the venue's id or, newest first, by the client's."""
        if order_id:
            order = self.orders.get(int(order_id)) if is_number(order_id) else None
            return order if order is not None and order.symbol == symbol else None
        for order in reversed(self.orders.values()):
            if order.client_id == client_id and order.symbol == symbol:
                return order
        return None

    def truth(self) -> dict[str, Any]:
        """Tell everything, for tests."""
        return {
            "orders": [msgspec.to_builtins(order) for order in self.orders.values()],
            "open": [order.order_id for order in self.open_orders()],
            "fills": [msgspec.to_builtins(fill) for fill in self.fills],
            "balances_e9": self.balances,
            "position_lots": {symbol: position.lots for symbol, position in self.positions.items()},
        }


def value_of(listed: Listed, price_ticks: int, lots: int) -> int:
    """Compute a trade's value in 1e-9 of the quote currency."""
    return price_ticks * lots * listed.tick_e9 * listed.lot_e9 // E9
