"""Spot's orders and account, as REST and the websocket API word them, and its user data events.

Sources: rest-api.md, web-socket-api.md and user-data-stream.md of github.com/binance/binance-spot-api-docs. Unverified:
the codes of an amendment that can't be, -1013 for a larger one and -2038 else, which a copy of
the venue's pages has.
"""

from collections.abc import Callable
from typing import Any

from crosswire.venues.bridge.binance.exchange.account import Fill, Order
from crosswire.venues.bridge.binance.exchange.errors import CONFLICT, NO_SUCH_ORDER, ApiError, missing
from crosswire.venues.bridge.binance.exchange.information import AMENDS_MAX, find_listed
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.rest import Endpoint, Security
from crosswire.venues.bridge.binance.exchange.words import Params, Words, money, side_name
from crosswire.venues.bridge.binance.terms import to_e9
from crosswire.venues.side import BUY

RESPONSE_TYPES = ("ACK", "RESULT", "FULL")


class SpotDesk(Words):
    """Spot's functions."""

    def endpoints(self) -> list[Endpoint]:
        """List spot's own functions over REST."""
        one, signed = lambda _: 1, Security.SIGNED

        def add(
            method: str, path: str, weight: Callable[[Params], int], call: Callable[[Params], Any], **more: bool
        ) -> Endpoint:
            return Endpoint(method, "/api/v3" + path, weight, call, signed, **more)

        return [
            add("POST", "/order", one, self.place, counts_orders=True, trades=True),
            add("DELETE", "/order", one, self.cancel, trades=True),
            add("GET", "/order", lambda _: 4, self.status),
            add("POST", "/order/cancelReplace", one, self.cancel_replace, counts_orders=True, trades=True),
            add("PUT", "/order/amend/keepPriority", lambda _: 4, self.amend, trades=True),
            add("GET", "/openOrders", lambda params: 6 if "symbol" in params else 80, self.open_orders),
            add("DELETE", "/openOrders", one, self.cancel_all, trades=True),
            add("GET", "/allOrders", lambda _: 20, self.all_orders),
            add("GET", "/myTrades", lambda params: 5 if "orderId" in params else 20, self.trades),
            add("GET", "/account", lambda _: 20, self.balances),
            add("GET", "/account/commission", lambda _: 20, self.commission),
            add("GET", "/rateLimit/order", lambda _: 40, lambda _: self.order_limits(), counts_orders=True),
        ]

    def methods(self) -> dict[str, tuple[Callable[[Params], Any], int]]:
        """List the signed methods of the websocket API, each with its weight."""
        return {
            "order.place": (self.place, 1),
            "order.cancel": (self.cancel, 1),
            "order.cancelReplace": (self.cancel_replace, 1),
            "order.amend.keepPriority": (self.amend, 4),
            "order.status": (self.status, 4),
            "openOrders.status": (self.open_orders, 6),
            "openOrders.cancelAll": (self.cancel_all, 1),
            "allOrders": (self.all_orders, 20),
            "myTrades": (self.trades, 20),
            "account.status": (self.balances, 20),
            "account.commission": (self.commission, 20),
            "account.rateLimits.orders": (lambda _: self.order_limits(), 40),
        }

    def place(self, params: Params) -> dict[str, Any]:
        """Take an order; the answer is as full as `newOrderRespType` asks."""
        kind = params.get("newOrderRespType", "FULL")
        if kind not in RESPONSE_TYPES:
            raise ApiError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
        order, fills = self.desk.place(params)
        body: dict[str, Any] = {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.updated_ms,
        }
        if kind == "ACK":
            return body
        body |= self.sizes(order) | {"workingTime": order.created_ms, "selfTradePreventionMode": order.stp}
        return body | ({"fills": [self.fill(each) for each in fills]} if kind == "FULL" else {})

    def sizes(self, order: Order) -> dict[str, Any]:
        """Word what an order is and how much of it has filled."""
        listed = self.account.listed(order.symbol)
        return {
            "price": listed.price_text(0 if order.kind == "MARKET" else order.price_ticks),
            "origQty": listed.size_text(order.qty_lots),
            "executedQty": listed.size_text(order.filled_lots),
            "origQuoteOrderQty": money(0),
            "cummulativeQuoteQty": money(order.value_e9),
            "status": order.status,
            "timeInForce": order.time_in_force,
            "type": order.kind,
            "side": side_name(order.side),
        }

    def fill(self, fill: Fill) -> dict[str, Any]:
        """Word one fill of an answer."""
        listed = self.account.listed(fill.symbol)
        return {
            "price": listed.price_text(fill.price_ticks),
            "qty": listed.size_text(fill.qty_lots),
            "commission": money(fill.commission_e9),
            "commissionAsset": fill.commission_asset,
            "tradeId": fill.trade_id,
        }

    def cancelled(self, order: Order, client_id: str) -> dict[str, Any]:
        """Word an order that was cancelled."""
        return {
            "symbol": order.symbol,
            "origClientOrderId": order.client_id,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": client_id or self.desk.client_id({}),
            "transactTime": order.updated_ms,
            **self.sizes(order),
            "selfTradePreventionMode": order.stp,
        }

    def cancel(self, params: Params) -> dict[str, Any]:
        """Cancel an order."""
        return self.cancelled(self.desk.cancel(params), params.get("newClientOrderId", ""))

    def cancel_all(self, params: Params) -> list[dict[str, Any]]:
        """Cancel all of an instrument; there must be one."""
        found = self.desk.cancel_all(find_listed(self.account.venue, params).symbol)
        if not found:
            raise ApiError(-2011, "Unknown order sent.")
        return [self.cancelled(order, "") for order in found]

    def cancel_replace(self, params: Params) -> dict[str, Any]:
        """Cancel an order, and take another in its stead."""
        mode = params.get("cancelReplaceMode", "")
        if not mode:
            raise missing("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise ApiError(-1130, "Data sent for parameter 'cancelReplaceMode' is not valid.")
        renamed = {name: text for name, text in params.items() if name not in ("newClientOrderId",)}
        if "cancelNewClientOrderId" in params:
            renamed["newClientOrderId"] = params["cancelNewClientOrderId"]
        told: dict[str, Any] = {"newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
        try:
            order = self.desk.cancel(renamed, "cancelOrderId", "cancelOrigClientOrderId")
            cancelled: Any = self.cancelled(order, params.get("cancelNewClientOrderId", ""))
            told = {"cancelResult": "SUCCESS", "cancelResponse": cancelled} | told
        except ApiError as error:
            told = {"cancelResult": "FAILURE", "cancelResponse": error.body()} | told
        if told["cancelResult"] == "SUCCESS" or mode == "ALLOW_FAILURE":
            try:
                told |= {"newOrderResponse": self.place(params), "newOrderResult": "SUCCESS"}
            except ApiError as error:
                told |= {"newOrderResponse": error.body(), "newOrderResult": "FAILURE"}
        results = {told["cancelResult"], told["newOrderResult"]}
        if results == {"SUCCESS"}:
            return told
        if "SUCCESS" in results:
            raise ApiError(-2021, "Order cancel-replace partially failed.", CONFLICT, told)
        raise ApiError(-2022, "Order cancel-replace failed.", data=told)

    def amend(self, params: Params) -> dict[str, Any]:
        """Make an order smaller; it keeps its place."""
        order = self.desk.find(params)
        if order is None or not order.is_open:
            raise ApiError(-2013, NO_SUCH_ORDER[1])
        listed = self.account.listed(order.symbol)
        lots = self.desk.qty_lots(listed, self.desk.number(params, "newQty"))
        name = self.desk.client_id(params)
        if name != order.client_id:
            self.desk.refuse_duplicate(name)
        if lots >= order.qty_lots:
            raise ApiError(-1013, "Order amend (quantity increase) is not supported.")
        if order.amendments >= AMENDS_MAX:
            raise ApiError(-2038, "The request to amend the order was rejected.")
        before = self.desk.reduce(order, lots, name)
        return {
            "transactTime": order.updated_ms,
            "executionId": order.order_id * 100 + order.amendments,
            "amendedOrder": {
                "symbol": order.symbol,
                "orderId": order.order_id,
                "orderListId": -1,
                "origClientOrderId": before,
                "clientOrderId": order.client_id,
                "price": listed.price_text(order.price_ticks),
                "qty": listed.size_text(order.qty_lots),
                "executedQty": listed.size_text(order.filled_lots),
                "preventedQty": listed.size_text(0),
                "quoteOrderQty": money(0),
                "cumulativeQuoteQty": money(order.value_e9),
                "status": order.status,
                "timeInForce": order.time_in_force,
                "type": order.kind,
                "side": side_name(order.side),
                "workingTime": order.created_ms,
                "selfTradePreventionMode": order.stp,
            },
        }

    def whole(self, order: Order) -> dict[str, Any]:
        """Word an order as a question after it is answered."""
        return {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            **self.sizes(order),
            "stopPrice": money(0),
            "icebergQty": money(0),
            "time": order.created_ms,
            "updateTime": order.updated_ms,
            "isWorking": True,
            "workingTime": order.created_ms,
            "selfTradePreventionMode": order.stp,
        }

    def trade(self, fill: Fill) -> dict[str, Any]:
        """Word one fill."""
        listed = self.account.listed(fill.symbol)
        return {
            "symbol": fill.symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "orderListId": -1,
            "price": listed.price_text(fill.price_ticks),
            "qty": listed.size_text(fill.qty_lots),
            "quoteQty": money(fill.value_e9),
            "commission": money(fill.commission_e9),
            "commissionAsset": fill.commission_asset,
            "time": fill.time_ms,
            "isBuyer": fill.side == BUY,
            "isMaker": fill.is_maker,
            "isBestMatch": True,
        }

    def balance(self, asset: str) -> tuple[str, str]:
        """Tell what is free of a currency, and what is locked."""
        locked = self.account.locked_e9(asset)
        return money(self.account.balances.get(asset, 0) - locked), money(locked)

    def balances(self, params: Params) -> dict[str, Any]:
        """Tell the account."""
        listed = self.account.venue.listed[0]
        rates = {"maker": money(listed.maker_fee_e9), "taker": money(listed.taker_fee_e9)}
        omits = params.get("omitZeroBalances", "false") == "true"
        rows = []
        for asset, total in sorted(self.account.balances.items()):
            if total or not omits:
                free, locked = self.balance(asset)
                rows.append({"asset": asset, "free": free, "locked": locked})
        return {
            "makerCommission": listed.maker_fee_e9 // 100_000,
            "takerCommission": listed.taker_fee_e9 // 100_000,
            "commissionRates": rates | {"buyer": money(0), "seller": money(0)},
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self.account.venue.clock.now_ms(),
            "accountType": "SPOT",
            "balances": rows,
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def commission(self, params: Params) -> dict[str, Any]:
        """Tell an instrument's fees."""
        listed = find_listed(self.account.venue, params)
        rates = {"maker": money(listed.maker_fee_e9), "taker": money(listed.taker_fee_e9)}
        third = self.account.third_asset
        return {
            "symbol": listed.symbol,
            "standardCommission": rates | {"buyer": money(0), "seller": money(0)},
            "taxCommission": dict.fromkeys(("maker", "taker", "buyer", "seller"), money(0)),
            "discount": {
                "enabledForAccount": bool(third),
                "enabledForSymbol": bool(third),
                "discountAsset": third or "BNB",
                "discount": money(to_e9("1", "discount")),
            },
        }

    # Events.

    def tell(self, order: Order, execution: str, fill: Fill | None, cancel_id: str) -> None:
        """Send an executionReport, and what it did to balances."""
        self.send(self.report(order, execution, fill, cancel_id))
        if execution != "REPLACED":
            listed = self.account.listed(order.symbol)
            assets = [listed.base, listed.quote_asset, *([fill.commission_asset] if fill else [])]
            self.send(self.position(list(dict.fromkeys(assets))))

    def report(self, order: Order, execution: str, fill: Fill | None, cancel_id: str) -> dict[str, Any]:
        """Word an executionReport."""
        listed: Listed = self.account.listed(order.symbol)
        is_cancel = execution == "CANCELED"
        price, size = listed.price_text, listed.size_text
        return {
            "e": "executionReport",
            "E": self.account.venue.clock.now_ms(),
            "s": order.symbol,
            "c": (cancel_id or f"c{order.order_id}") if is_cancel else order.client_id,
            "S": side_name(order.side),
            "o": order.kind,
            "f": order.time_in_force,
            "q": size(order.qty_lots),
            "p": price(0 if order.kind == "MARKET" else order.price_ticks),
            "P": price(0),
            "F": size(0),
            "g": -1,
            "C": order.client_id if is_cancel else cancel_id if execution == "REPLACED" else "",
            "x": execution,
            "X": order.status,
            "r": "NONE",
            "i": order.order_id,
            "l": size(fill.qty_lots if fill else 0),
            "z": size(order.filled_lots),
            "L": price(fill.price_ticks if fill else 0),
            "n": money(fill.commission_e9) if fill else "0",
            "N": fill.commission_asset if fill else None,
            "T": order.updated_ms,
            "t": fill.trade_id if fill else -1,
            "I": order.order_id * 100 + (fill.trade_id % 100 if fill else 0),
            "w": order.is_open and execution != "TRADE_PREVENTION",
            "m": fill.is_maker if fill else False,
            "M": False,
            "O": order.created_ms,
            "Z": money(order.value_e9),
            "Y": money(fill.value_e9 if fill else 0),
            "Q": money(0),
            "W": order.created_ms,
            "V": order.stp,
        }

    def position(self, assets: list[str]) -> dict[str, Any]:
        """Word an outboundAccountPosition."""
        now_ms = self.account.venue.clock.now_ms()
        rows = []
        for asset in assets:
            free, locked = self.balance(asset)
            rows.append({"a": asset, "f": free, "l": locked})
        return {"e": "outboundAccountPosition", "E": now_ms, "u": now_ms, "B": rows}
