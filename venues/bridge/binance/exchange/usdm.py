"""USD-M's orders and account, as REST and the websocket API word them, and its user data events.

Sources: developers.binance.com/docs/derivatives/usds-margined-futures, "Trade" and "User Data Streams"; keys that a
client of ours has no use for are left out of account and position. Unverified: that a FOK order which can't fill
and a GTX one which would take are refused with -5021 and -5022 (the venue's list of codes has them) and leave no order.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from crosswire.venues.bridge.binance.exchange.account import Fill, Order, Position
from crosswire.venues.bridge.binance.exchange.desk import LEVERAGE, SIDES, Desk
from crosswire.venues.bridge.binance.exchange.errors import NO_SUCH_ORDER, ApiError, missing
from crosswire.venues.bridge.binance.exchange.information import find_listed
from crosswire.venues.bridge.binance.exchange.listed import Listed, text_e9
from crosswire.venues.bridge.binance.exchange.rest import Endpoint, Security
from crosswire.venues.bridge.binance.exchange.words import Params, Words, money, side_name, whole_number
from crosswire.venues.instrument import E9
from crosswire.venues.side import BUY

CANCELLED_ALL = {"code": 200, "msg": "The operation of cancel all open order is done."}


class UsdmDesk(Words):
    """USD-M's functions."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.countdowns: dict[str, asyncio.TimerHandle] = {}

    def endpoints(self) -> list[Endpoint]:
        """List USD-M's own functions over REST."""

        def add(method: str, path: str, weight: int, call: Callable[[Params], Any], **more: bool) -> Endpoint:
            return Endpoint(method, "/fapi" + path, lambda _: weight, call, Security.SIGNED, **more)

        return [
            add("POST", "/v1/order", 0, self.place, counts_orders=True, trades=True),
            add("PUT", "/v1/order", 1, self.modify, counts_orders=True, trades=True),
            add("DELETE", "/v1/order", 1, self.cancel, trades=True),
            add("GET", "/v1/order", 1, self.status),
            add("GET", "/v1/openOrder", 1, self.open_order),
            Endpoint("GET", "/fapi/v1/openOrders", open_weight, self.open_orders, Security.SIGNED),
            add("DELETE", "/v1/allOpenOrders", 1, self.cancel_all, trades=True),
            add("GET", "/v1/allOrders", 5, self.all_orders),
            add("GET", "/v1/userTrades", 5, self.trades),
            add("POST", "/v1/countdownCancelAll", 10, self.countdown, trades=True),
            add("GET", "/v1/commissionRate", 20, self.commission),
            add("GET", "/v1/positionSide/dual", 30, lambda _: {"dualSidePosition": False}),
            add("GET", "/v1/rateLimit/order", 1, lambda _: self.order_limits()),
            *(add("GET", f"/{version}/balance", 5, self.balance) for version in ("v2", "v3")),
            *(add("GET", f"/{version}/account", 5, self.whole_account) for version in ("v2", "v3")),
            *(add("GET", f"/{version}/positionRisk", 5, self.positions) for version in ("v2", "v3")),
        ]

    def methods(self) -> dict[str, tuple[Callable[[Params], Any], int]]:
        """List the signed methods of the websocket API, each with its weight."""
        return {
            "order.place": (self.place, 0),
            "order.modify": (self.modify, 1),
            "order.cancel": (self.cancel, 1),
            "order.status": (self.status, 1),
            "account.balance": (self.balance, 5),
            "v2/account.balance": (self.balance, 5),
            "account.status": (self.whole_account, 5),
            "v2/account.status": (self.whole_account, 5),
            "account.position": (self.positions, 5),
            "v2/account.position": (self.positions, 5),
        }

    def place(self, params: Params) -> dict[str, Any]:
        """Take an order. ACK, the default, tells what it was before it met anybody."""
        kind = params.get("newOrderRespType", "ACK")
        if kind not in ("ACK", "RESULT"):
            raise ApiError(-1136, "Invalid newOrderRespType.")
        order, _ = self.desk.place(params)
        body = self.whole(order)
        if kind == "ACK":
            zero = self.account.listed(order.symbol).size_text(0)
            body |= {"status": "NEW", "executedQty": zero, "cumQty": zero, "cumQuote": money(0), "avgPrice": money(0)}
        return body

    def whole(self, order: Order) -> dict[str, Any]:
        """Word an order."""
        listed = self.account.listed(order.symbol)
        return {
            "orderId": order.order_id,
            "symbol": order.symbol,
            "status": order.status,
            "clientOrderId": order.client_id,
            "price": listed.price_text(0 if order.kind == "MARKET" else order.price_ticks),
            "avgPrice": average(listed, order),
            "origQty": listed.size_text(order.qty_lots),
            "executedQty": listed.size_text(order.filled_lots),
            "cumQty": listed.size_text(order.filled_lots),
            "cumQuote": money(order.value_e9),
            "timeInForce": order.time_in_force,
            "type": order.kind,
            "reduceOnly": order.reduce_only,
            "closePosition": False,
            "side": side_name(order.side),
            "positionSide": "BOTH",
            "stopPrice": "0",
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": order.kind,
            "priceMatch": "NONE",
            "selfTradePreventionMode": order.stp,
            "goodTillDate": 0,
            "time": order.created_ms,
            "updateTime": order.updated_ms,
        }

    def cancel(self, params: Params) -> dict[str, Any]:
        """Cancel an order."""
        return self.whole(self.desk.cancel(params))

    def cancel_all(self, params: Params) -> dict[str, Any]:
        """Cancel all of an instrument."""
        self.desk.cancel_all(find_listed(self.account.venue, params).symbol)
        return CANCELLED_ALL

    def modify(self, params: Params) -> dict[str, Any]:
        """Give an order another price and size."""
        listed = find_listed(self.account.venue, params)
        order = self.desk.find(params)
        if order is None or not order.is_open:
            raise ApiError(*NO_SUCH_ORDER)
        if SIDES.get(params.get("side", "")) != order.side:
            raise missing("side") if not params.get("side") else ApiError(-1117, "Invalid side.")
        if not self.account.venue.is_trading(listed):
            raise ApiError(-5024, "Symbol is not in trading status. Order amendment is not permitted.")
        lots = self.desk.qty_lots(listed, self.desk.number(params, "quantity"))
        ticks = self.desk.price_ticks(listed, self.desk.number(params, "price"))
        if (lots, ticks) == (order.qty_lots, order.price_ticks):
            raise ApiError(-5027, "No need to modify the order.")
        self.desk.check_value(listed, order.side, ticks, lots, reduce_only=order.reduce_only)
        self.desk.limits.charge_orders()
        return self.whole(self.desk.modify(order, ticks, lots))

    def open_order(self, params: Params) -> dict[str, Any]:
        """Tell of one open order."""
        order = self.desk.find(params)
        if order is None or not order.is_open:
            raise ApiError(*NO_SUCH_ORDER)
        return self.whole(order)

    def trade(self, fill: Fill) -> dict[str, Any]:
        """Word one fill."""
        listed = self.account.listed(fill.symbol)
        return {
            "symbol": fill.symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "side": side_name(fill.side),
            "price": listed.price_text(fill.price_ticks),
            "qty": listed.size_text(fill.qty_lots),
            "realizedPnl": money(fill.realized_e9),
            "quoteQty": money(fill.value_e9),
            "commission": money(fill.commission_e9),
            "commissionAsset": fill.commission_asset,
            "time": fill.time_ms,
            "positionSide": "BOTH",
            "buyer": fill.side == BUY,
            "maker": fill.is_maker,
        }

    def countdown(self, params: Params) -> dict[str, Any]:
        """Cancel all of an instrument once the time is over, unless asked again before; 0 ends that."""
        symbol = find_listed(self.account.venue, params).symbol
        time_ms = whole_number(params, "countdownTime")
        if time_ms < 0:
            raise missing("countdownTime")
        if symbol in self.countdowns:
            self.countdowns.pop(symbol).cancel()
        if time_ms:
            loop = asyncio.get_running_loop()
            self.countdowns[symbol] = loop.call_later(time_ms / 1_000, self.desk.cancel_all, symbol)
        return {"symbol": symbol, "countdownTime": str(time_ms)}

    def commission(self, params: Params) -> dict[str, Any]:
        """Tell an instrument's fees."""
        listed = find_listed(self.account.venue, params)
        maker, taker = text_e9(listed.maker_fee_e9, 6), text_e9(listed.taker_fee_e9, 6)
        return {"symbol": listed.symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}

    def used_e9(self) -> int:
        """Compute the margin that positions use."""
        return sum(abs(position.cost_e9) for position in self.account.positions.values()) // LEVERAGE

    def unrealized_e9(self, symbol: str, position: Position) -> int:
        """Compute what a position would realise at the mark price."""
        listed = self.account.listed(symbol)
        return position.lots * mark_ticks(listed) * listed.tick_e9 * listed.lot_e9 // E9 - position.cost_e9

    def balance(self, _: Params) -> list[dict[str, Any]]:
        """Tell what the account holds of each currency."""
        unrealized = sum(self.unrealized_e9(symbol, each) for symbol, each in self.account.positions.items())
        settlement = self.account.venue.listed[0].settlement
        rows = []
        for asset, total_e9 in sorted(self.account.balances.items()):
            pnl_e9, used_e9 = (unrealized, self.used_e9()) if asset == settlement else (0, 0)
            free = money(total_e9 + min(0, pnl_e9) - used_e9)
            row = {"accountAlias": "SgsR", "asset": asset, "balance": money(total_e9)}
            row |= {"crossWalletBalance": money(total_e9), "crossUnPnl": money(pnl_e9), "availableBalance": free}
            now_ms = self.account.venue.clock.now_ms()
            rows.append(row | {"maxWithdrawAmount": free, "marginAvailable": True, "updateTime": now_ms})
        return rows

    def positions(self, params: Params) -> list[dict[str, Any]]:
        """Tell all positions, or that of an instrument."""
        symbol = find_listed(self.account.venue, params).symbol if "symbol" in params else ""
        rows = []
        for name, position in self.account.positions.items():
            if symbol not in ("", name) or (not symbol and position.lots == 0):
                continue
            listed = self.account.listed(name)
            mark = listed.price_text(mark_ticks(listed))
            value_e9 = position.lots * mark_ticks(listed) * listed.tick_e9 * listed.lot_e9 // E9
            rows.append(
                {
                    "symbol": name,
                    "positionSide": "BOTH",
                    "positionAmt": listed.size_text(position.lots),
                    "entryPrice": entry(listed, position),
                    "breakEvenPrice": entry(listed, position),
                    "markPrice": mark,
                    "unRealizedProfit": money(self.unrealized_e9(name, position)),
                    "liquidationPrice": "0",
                    "notional": money(value_e9),
                    "marginAsset": listed.settlement,
                    "updateTime": self.account.venue.clock.now_ms(),
                }
            )
        return rows

    def whole_account(self, params: Params) -> dict[str, Any]:
        """Tell the account."""
        settlement = self.account.venue.listed[0].settlement
        total_e9 = self.account.balances.get(settlement, 0)
        assets = [
            {"asset": row["asset"], "walletBalance": row["balance"], "availableBalance": row["availableBalance"]}
            for row in self.balance(params)
        ]
        return {
            "totalWalletBalance": money(total_e9),
            "availableBalance": money(total_e9 - self.used_e9()),
            "assets": assets,
            "positions": self.positions({}),
        }

    # Events.

    def tell(self, order: Order, execution: str, fill: Fill | None, _cancel_id: str) -> None:
        """Send what the fill did to the account, and the ORDER_TRADE_UPDATE."""
        if fill is not None:
            self.send(self.trade_lite(order, fill))
            self.send(self.account_update(fill))
        self.send(self.update(order, execution, fill))

    def update(self, order: Order, execution: str, fill: Fill | None) -> dict[str, Any]:
        """Word an ORDER_TRADE_UPDATE."""
        listed = self.account.listed(order.symbol)
        price, size = listed.price_text, listed.size_text
        body: dict[str, Any] = {
            "s": order.symbol,
            "c": order.client_id,
            "S": side_name(order.side),
            "o": order.kind,
            "f": order.time_in_force,
            "q": size(order.qty_lots),
            "p": price(0 if order.kind == "MARKET" else order.price_ticks),
            "ap": average(listed, order),
            "sp": "0",
            "x": execution,
            "X": order.status,
            "i": order.order_id,
            "l": size(fill.qty_lots if fill else 0),
            "z": size(order.filled_lots),
            "L": price(fill.price_ticks if fill else 0),
        }
        if fill:
            body |= {"N": fill.commission_asset, "n": money(fill.commission_e9)}
        body |= {
            "T": order.updated_ms,
            "t": fill.trade_id if fill else 0,
            "b": "0",
            "a": "0",
            "m": fill.is_maker if fill else False,
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": order.kind,
            "ps": "BOTH",
            "cp": False,
            "rp": money(fill.realized_e9) if fill else "0",
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": order.stp,
            "pm": "NONE",
            "gtd": 0,
        }
        now_ms = self.account.venue.clock.now_ms()
        return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": order.updated_ms, "o": body}

    def trade_lite(self, order: Order, fill: Fill) -> dict[str, Any]:
        """Word a TRADE_LITE: of a fill what can be told soonest."""
        listed = self.account.listed(order.symbol)
        return {
            "e": "TRADE_LITE",
            "E": self.account.venue.clock.now_ms(),
            "T": fill.time_ms,
            "s": order.symbol,
            "q": listed.size_text(order.qty_lots),
            "p": listed.price_text(0 if order.kind == "MARKET" else order.price_ticks),
            "m": fill.is_maker,
            "c": order.client_id,
            "S": side_name(order.side),
            "L": listed.price_text(fill.price_ticks),
            "l": listed.size_text(fill.qty_lots),
            "t": fill.trade_id,
            "i": order.order_id,
        }

    def account_update(self, fill: Fill) -> dict[str, Any]:
        """Word an ACCOUNT_UPDATE."""
        listed = self.account.listed(fill.symbol)
        position = self.account.positions[fill.symbol]
        balances = [
            {
                "a": asset,
                "wb": money(self.account.balances[asset]),
                "cw": money(self.account.balances[asset]),
                "bc": "0",
            }
            for asset in dict.fromkeys((listed.settlement, fill.commission_asset))
        ]
        told = {
            "s": fill.symbol,
            "pa": listed.size_text(position.lots),
            "ep": entry(listed, position),
            "cr": money(fill.realized_e9),
            "up": money(self.unrealized_e9(fill.symbol, position)),
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
        }
        now_ms = self.account.venue.clock.now_ms()
        update = {"m": "ORDER", "B": balances, "P": [told]}
        return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": fill.time_ms, "a": update}


def open_weight(params: Params) -> int:
    """Tell what a question after open orders weighs: of one instrument, or of all."""
    return 1 if "symbol" in params else 40


def average(listed: Listed, order: Order) -> str:
    """Write the average price of an order's fills."""
    if order.filled_lots == 0:
        return money(0)
    return money(order.value_e9 * E9 // (order.filled_lots * listed.lot_e9))


def entry(listed: Listed, position: Position) -> str:
    """Write the average price of a position."""
    return money(position.cost_e9 * E9 // (position.lots * listed.lot_e9)) if position.lots else "0.0"


def mark_ticks(listed: Listed) -> int:
    """Find the mark price: the middle of the book (own choice)."""
    bid, _, ask, _ = listed.best()
    return (bid + ask) // 2
