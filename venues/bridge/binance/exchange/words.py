"""What spot's and USD-M's answers have in common: how amounts are written, and which orders and fills are told of."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from crosswire.venues.bridge.binance.exchange.account import Account, Fill, Order
from crosswire.venues.bridge.binance.exchange.desk import Desk
from crosswire.venues.bridge.binance.exchange.errors import NO_SUCH_ORDER, ApiError, is_number
from crosswire.venues.bridge.binance.exchange.information import find_listed
from crosswire.venues.bridge.binance.exchange.listed import text_e9
from crosswire.venues.side import BUY

DECIMALS = 8
ALL_MAX, ALL_DEFAULT = 1_000, 500

Params = dict[str, str]


def money(value_e9: int) -> str:
    """Write an amount."""
    return text_e9(value_e9, DECIMALS)


def side_name(side: int) -> str:
    """Name a side."""
    return "BUY" if side == BUY else "SELL"


class Words(ABC):
    """A market's functions that need a key, in its own words. `send` takes user data events."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.account: Account = desk.account
        desk.tell = self.tell
        self.send: Callable[[dict[str, Any]], None] = lambda _: None

    @abstractmethod
    def whole(self, order: Order) -> dict[str, Any]:
        """Word an order as a question after it is answered."""

    @abstractmethod
    def trade(self, fill: Fill) -> dict[str, Any]:
        """Word one fill."""

    @abstractmethod
    def tell(self, order: Order, execution: str, fill: Fill | None, cancel_id: str) -> None:
        """Send what happened to an order, and what it did to the account."""

    def status(self, params: Params) -> dict[str, Any]:
        """Tell of one order."""
        order = self.desk.find(params)
        if order is None:
            raise ApiError(*NO_SUCH_ORDER)
        return self.whole(order)

    def open_orders(self, params: Params) -> list[dict[str, Any]]:
        """Tell of all open orders."""
        symbol = find_listed(self.account.venue, params).symbol if "symbol" in params else ""
        return [self.whole(order) for order in self.account.open_orders(symbol)]

    def all_orders(self, params: Params) -> list[dict[str, Any]]:
        """Tell of all orders from an id or a time on."""
        return [self.whole(order) for order in chosen_orders(self.account, params)]

    def trades(self, params: Params) -> list[dict[str, Any]]:
        """Tell of all fills from an id or a time on, or of an order."""
        return [self.trade(fill) for fill in chosen_fills(self.account, params)]

    def order_limits(self) -> list[dict[str, Any]]:
        """Tell how many orders were sent."""
        return [counter.tell() for counter in self.desk.limits.orders]


def whole_number(params: Params, name: str) -> int:
    """Read a number; -1 if it is not there."""
    text = params.get(name, "")
    if text and not is_number(text):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text) if text else -1


def chosen_orders(account: Account, params: Params) -> list[Order]:
    """Choose the orders of an instrument from an id on, or between two times; the last ones by default."""
    symbol = find_listed(account.venue, params).symbol
    limit = min(ALL_MAX, whole_number(params, "limit") if "limit" in params else ALL_DEFAULT)
    start_ms, end_ms = whole_number(params, "startTime"), whole_number(params, "endTime")
    first_id = whole_number(params, "orderId")
    found = [
        order
        for order in sorted(account.orders.values(), key=lambda order: order.order_id)
        if order.symbol == symbol
        and order.order_id >= first_id
        and order.created_ms >= start_ms
        and (end_ms < 0 or order.created_ms <= end_ms)
    ]
    return found[:limit] if first_id >= 0 or start_ms >= 0 else found[-limit:]


def chosen_fills(account: Account, params: Params) -> list[Fill]:
    """Choose the fills of an instrument from an id on, of an order, or between two times; the last ones by default."""
    symbol = find_listed(account.venue, params).symbol
    limit = min(ALL_MAX, whole_number(params, "limit") if "limit" in params else ALL_DEFAULT)
    start_ms, end_ms = whole_number(params, "startTime"), whole_number(params, "endTime")
    first_id, order_id = whole_number(params, "fromId"), whole_number(params, "orderId")
    found = [
        fill
        for fill in account.fills
        if fill.symbol == symbol
        and fill.trade_id >= first_id
        and order_id in (-1, fill.order_id)
        and fill.time_ms >= start_ms
        and (end_ms < 0 or fill.time_ms <= end_ms)
    ]
    return found[:limit] if first_id >= 0 or start_ms >= 0 else found[-limit:]
