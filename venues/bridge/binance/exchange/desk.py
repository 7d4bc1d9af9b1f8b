"""What the venue does with an order before and after the matching: checks, filters, self-trade prevention, fills.

The matching (`venues.exchange.matching`) is the one of every backtest. A market order is a limit order as far from the
last price as the price band reaches, immediate or cancelled. Own orders can't meet in a market that is played, so
self-trade prevention is decided on arrival: by what the order would have come to, at its limit, before the own one.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from crosswire.venues.bridge.binance.exchange import matcher as matching
from crosswire.venues.bridge.binance.exchange.account import Account, Fill, Order, Position, value_of
from crosswire.venues.bridge.binance.exchange.errors import (
    DUPLICATE_CLIENT_ORDER_ID,
    DUPLICATE_ORDER,
    MARKET_CLOSED,
    NO_BALANCE,
    NO_MARGIN,
    WOULD_TAKE,
    ApiError,
    filter_failure,
    illegal,
    missing,
    not_required,
    server_busy,
    too_precise,
)
from crosswire.venues.bridge.binance.exchange.information import (
    MAX_PRICE_TICKS,
    MAX_QTY_LOTS,
    STP_DEFAULT,
    STP_MODES,
    TIMES_IN_FORCE,
    find_listed,
)
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.listed import Listed, decimal_e9, decimals_of
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.exchange.matching import RESTING_MAX
from crosswire.venues.instrument import E9
from crosswire.venues.order import RejectReason, ReportKind, TimeInForce
from crosswire.venues.side import BUY, SELL

DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
DECIMAL_RANGE = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
CLIENT_ID = {Market.SPOT: re.compile(r"[a-zA-Z0-9-_]{1,36}"), Market.USDM: re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")}
CLIENT_ID_RANGE = "^[a-zA-Z0-9-_]{1,36}$"
CLIENT_ID_MAX = 36
SIDES = {"BUY": BUY, "SELL": SELL}
ORDERS_MAX = 1_000_000  # that the exchange remembers; beyond them it takes none
LEVERAGE = 20  # of every future, cross margin
DECIMALS_MAX = 8
FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "GTX": TimeInForce.POST_ONLY}

Params = dict[str, str]
# (order, what happened, its fill, the client id that a cancel or amendment brought)
Tell = Callable[[Order, str, Fill | None, str], None]


class Said(NamedTuple):
    """What the matching said of an order, copied from where it says the next thing."""

    kind: int  # ReportKind
    client_order_id: int
    price_ticks: int
    qty_lots: int
    fee_e9: int
    is_maker: bool
    reason: int


def said(report: Any) -> Said:
    """Copy a report."""
    numbers = (report.kind, report.client_order_id, report.price_ticks, report.qty_lots, report.fee_e9)
    return Said(*numbers, bool(report.is_maker), report.reason)


class Desk:
    """Takes the orders of one account."""

    def __init__(self, account: Account, limits: Limits) -> None:
        self.account = account
        self.limits = limits
        self.venue = account.venue
        self.matcher = account.venue.matcher
        self.is_spot = account.venue.market == Market.SPOT
        self.tell: Tell = lambda *_: None
        self.made_ids = 0
        account.venue.on_fills.append(self.take_fills)

    # Reading a request.

    def number(self, params: Params, name: str) -> str:
        """Read a decimal parameter's text."""
        text = params.get(name, "")
        if not text:
            raise missing(name)
        if not DECIMAL.fullmatch(text):
            raise illegal(name, DECIMAL_RANGE)
        return text

    def client_id(self, params: Params, name: str = "newClientOrderId") -> str:
        """Read or make an order's name; one that an open order has is refused."""
        text = params.get(name, "")
        if not text:
            self.made_ids += 1
            return f"auto{self.account.last_order_id + 1}x{self.made_ids}"
        if not self.is_spot and len(text) > CLIENT_ID_MAX:
            raise ApiError(-4015, "Client order id length should not be more than 36 chars")
        if not CLIENT_ID[Market.SPOT if self.is_spot else Market.USDM].fullmatch(text):
            raise illegal(name, CLIENT_ID_RANGE)
        return text

    def refuse_duplicate(self, client_id: str) -> None:
        """Refuse a name that an open order has."""
        if any(order.client_id == client_id for order in self.account.open.values()):
            raise ApiError(*(DUPLICATE_ORDER if self.is_spot else DUPLICATE_CLIENT_ORDER_ID))

    def price_ticks(self, listed: Listed, text: str) -> int:
        """Read a price and hold it against the price filter."""
        precision = DECIMALS_MAX if self.is_spot else listed.price_precision
        if decimals_of(text.rstrip("0") if "." in text else text) > precision:
            raise too_precise(self.venue.market, "price")
        ticks, rest = divmod(decimal_e9(text), listed.tick_e9)
        if self.is_spot:
            if rest or not 1 <= ticks <= MAX_PRICE_TICKS:
                raise filter_failure("PRICE_FILTER")
        elif rest:
            raise ApiError(-4014, "Price not increased by tick size.")
        elif ticks <= 0:
            raise ApiError(-4001, "Price less than 0.")
        elif ticks > MAX_PRICE_TICKS:
            raise ApiError(-4002, "Price greater than max price.")
        return ticks

    def qty_lots(self, listed: Listed, text: str) -> int:
        """Read a size and hold it against the lot filter."""
        precision = DECIMALS_MAX if self.is_spot else listed.size_precision
        if decimals_of(text.rstrip("0") if "." in text else text) > precision:
            raise too_precise(self.venue.market, "quantity")
        lots, rest = divmod(decimal_e9(text) * listed.size_one_e9 // E9, listed.lot_e9)
        if self.is_spot:
            if rest or not 1 <= lots <= MAX_QTY_LOTS:
                raise filter_failure("LOT_SIZE")
        elif rest:
            raise ApiError(-4023, "Qty not increased by step size.")
        elif lots <= 0:
            raise ApiError(-4003, "Quantity less than or equal to zero.")
        elif lots > MAX_QTY_LOTS:
            raise ApiError(-4005, "Quantity greater than max quantity.")
        return lots

    def band(self, listed: Listed, side: int) -> int:
        """Find the price that an order of a side may not pass."""
        reference = listed.reference_ticks()
        if side == BUY:
            return reference * (E9 + listed.percent_e9) // E9
        return -(-reference * (E9 - listed.percent_e9) // E9)

    def check_value(self, listed: Listed, side: int, ticks: int, lots: int, *, reduce_only: bool) -> None:
        """Hold a price against the band, and a value against the least."""
        high, low = self.band(listed, BUY), self.band(listed, SELL)
        if self.is_spot and not low <= ticks <= high:
            raise filter_failure("PERCENT_PRICE_BY_SIDE")
        if not self.is_spot and side == BUY and ticks > high:
            raise ApiError(-4016, f"Limit price can't be higher than {listed.price_text(high)}.")
        if not self.is_spot and side == SELL and ticks < low:
            raise ApiError(-4024, f"Limit price can't be lower than {listed.price_text(low)}.")
        if value_of(listed, ticks, lots) < listed.min_notional_e9 and not reduce_only:
            if self.is_spot:
                raise filter_failure("NOTIONAL")
            least = listed.config.min_notional
            raise ApiError(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")

    def check_money(self, listed: Listed, side: int, ticks: int, lots: int, *, reduce_only: bool) -> None:
        """Refuse what the account can't pay for, and what would not reduce."""
        account = self.account
        value_e9 = value_of(listed, ticks, lots)
        if self.is_spot:
            asset, wanted_e9 = (listed.quote_asset, value_e9) if side == BUY else (listed.base, lots * listed.lot_e9)
            if wanted_e9 > account.balances.get(asset, 0) - account.locked_e9(asset):
                raise ApiError(*NO_BALANCE)
            return
        position = account.positions.get(listed.symbol, Position())
        reducible = -position.lots if side == BUY else position.lots
        if reduce_only:
            others = sum(
                order.leaves_lots
                for order in account.open.values()
                if order.reduce_only and order.symbol == listed.symbol and order.side == side
            )
            if lots > reducible - others:
                raise ApiError(-2022, "ReduceOnly Order is rejected.")
            return
        used_e9 = sum(abs(each.cost_e9) for each in account.positions.values())
        used_e9 += sum(
            value_of(account.listed(order.symbol), order.price_ticks, order.leaves_lots)
            for order in account.open.values()
            if not order.reduce_only
        )
        if lots > reducible and (used_e9 + value_e9) // LEVERAGE > account.balances.get(listed.settlement, 0):
            raise ApiError(*NO_MARGIN)

    def force_of(self, params: Params) -> tuple[str, str]:
        """Read type and time in force."""
        kind = params.get("type", "")
        if not kind:
            raise missing("type")
        stops = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
        if not self.is_spot and kind in stops:
            text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            raise ApiError(-4120, text)
        if kind not in (("LIMIT", "MARKET", "LIMIT_MAKER") if self.is_spot else ("LIMIT", "MARKET")):
            raise ApiError(-1116, "Invalid orderType.")
        force = params.get("timeInForce", "")
        if kind == "LIMIT":
            if not force:
                raise missing("timeInForce")
            if force not in TIMES_IN_FORCE[self.venue.market]:
                raise ApiError(-1115, "Invalid timeInForce.")
            return kind, force
        if force:
            if self.is_spot:
                raise not_required("timeInForce")
            raise ApiError(-1106, "Parameter 'timeInForce' sent when not required.")
        return kind, "GTC"

    # Orders.

    def place(self, params: Params) -> tuple[Order, list[Fill]]:
        """Take a new order. ApiError if it is refused; nothing has happened then but that it counts."""
        listed = find_listed(self.venue, params)
        side_text = params.get("side", "")
        if not side_text:
            raise missing("side")
        if side_text not in SIDES:
            raise ApiError(-1117, "Invalid side.")
        side = SIDES[side_text]
        kind, force = self.force_of(params)
        stp = params.get("selfTradePreventionMode", STP_DEFAULT)
        if stp not in STP_MODES:
            if self.is_spot:
                raise ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
            raise ApiError(-5039, "Invalid self trade prevention mode")
        reduce_only = params.get("reduceOnly", "false").lower() == "true"
        if not self.is_spot and params.get("positionSide", "BOTH") != "BOTH":
            raise ApiError(-4061, "Order's position side does not match user's setting.")
        lots = self.qty_lots(listed, self.number(params, "quantity"))
        if kind == "MARKET":
            if "price" in params:
                raise not_required("price")
            ticks = self.band(listed, side)
        else:
            ticks = self.price_ticks(listed, self.number(params, "price"))
        client_id = self.client_id(params)
        if not self.venue.is_trading(listed):
            raise ApiError(*(MARKET_CLOSED if self.is_spot else (-4141, "Symbol is closed")))
        self.check_value(listed, side, ticks, lots, reduce_only=reduce_only)
        self.limits.charge_orders()
        self.refuse_duplicate(client_id)
        self.check_count(listed)
        self.check_money(listed, side, ticks, lots, reduce_only=reduce_only)
        now_ms = self.venue.clock.now_ms()
        order = Order(
            order_id=0,
            client_id=client_id,
            symbol=listed.symbol,
            side=side,
            kind=kind,
            time_in_force=force,
            price_ticks=ticks,
            qty_lots=lots,
            match_id=0,
            created_ms=now_ms,
            updated_ms=now_ms,
            stp=stp,
            reduce_only=reduce_only,
        )
        return order, self._match(order)

    def check_count(self, listed: Listed) -> None:
        """Refuse one more than an instrument may have open, or the matching has room for."""
        if len(self.account.orders) >= ORDERS_MAX:
            raise server_busy(self.venue.market)
        count = len(self.account.open_orders(listed.symbol))
        if count >= listed.config.max_orders or len(self.account.open) >= RESTING_MAX:
            if self.is_spot:
                raise filter_failure("MAX_NUM_ORDERS")
            raise ApiError(-2025, "Reach max open order limit.")

    def _match(self, order: Order) -> list[Fill]:
        """Match a new order, and book what comes of it."""
        met = self._would_meet(order)
        limit_ticks = order.price_ticks
        taker_ends = bool(met) and order.stp != "EXPIRE_MAKER"
        is_post_only = order.kind == "LIMIT_MAKER" or order.time_in_force == "GTX"
        if met and not is_post_only:
            if order.stp in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
                for own in met if order.stp == "EXPIRE_MAKER" else met[:1]:
                    self._end(own, "EXPIRED_IN_MATCH")
            if taker_ends:  # it takes what is better than the own order, and ends there
                limit_ticks = met[0].price_ticks + (-1 if order.side == BUY else 1)
        force = TimeInForce.POST_ONLY if is_post_only else FORCE[order.time_in_force]
        if order.kind == "MARKET" or (taker_ends and force == TimeInForce.GTC):
            force = TimeInForce.IOC
        reports = self._place(order, limit_ticks, force)
        if reports[0].kind == ReportKind.REJECTED:
            self.account.commit()
            raise self._refusal(order, reports[0].reason)
        if not self.is_spot and force == TimeInForce.FOK and reports[-1].kind == ReportKind.CANCELLED:
            text = "Due to the order could not be filled immediately, the FOK order has been rejected."
            raise ApiError(-5021, text)
        order.order_id = self.account.next_order_id()
        self.account.keep(order)
        self._later(order, "NEW", None)
        fills = []
        for report in reports[1:]:
            if report.kind == ReportKind.FILL:
                fills.append(self._fill(order, report))
            elif report.kind == ReportKind.CANCELLED:
                self._end(order, "EXPIRED_IN_MATCH" if taker_ends else "EXPIRED", is_resting=False)
        self._expire_reducing(order.symbol)
        self.account.commit()
        return fills

    def _place(self, order: Order, limit_ticks: int, force: TimeInForce) -> list["Said"]:
        """Hand an order to the matching; give what it said."""
        request = self.matcher.order
        order.match_id = request.client_order_id = self.account.next_match_id()
        request.instrument = self.account.listed(order.symbol).index
        request.side, request.time_in_force = order.side, int(force)
        request.price_ticks, request.qty_lots = limit_ticks, order.leaves_lots
        matching.place(self.matcher, self.venue.clock.now_ns())
        return self._reports()

    def _reports(self) -> list["Said"]:
        executions = self.matcher.executions
        return [said(executions.items[place]) for place in range(executions.count)]

    def _refusal(self, order: Order, reason: int) -> ApiError:
        if reason == RejectReason.WOULD_TAKE:
            if self.is_spot:
                return ApiError(*WOULD_TAKE)
            text = "Due to the order could not be executed as maker, the Post Only order will be rejected."
            return ApiError(-5022, text)
        if reason == RejectReason.BOOK_NOT_READY:
            return ApiError(-1112, "No orders on book for symbol.")
        if reason == RejectReason.TOO_MANY_ORDERS:
            return filter_failure("MAX_NUM_ORDERS") if self.is_spot else ApiError(-2025, "Reach max open order limit.")
        return ApiError(-1000, f"An unknown error occurred while processing the request ({order.symbol}, {reason}).")

    def _would_meet(self, order: Order) -> list[Order]:
        """List own orders that an order's limit reaches, the best first, if the market's own do not suffice before."""
        others = [
            own
            for own in self.account.open.values()
            if own.symbol == order.symbol
            and own.side != order.side
            and (own.price_ticks <= order.price_ticks if order.side == BUY else own.price_ticks >= order.price_ticks)
        ]
        others.sort(key=lambda own: (own.price_ticks if order.side == BUY else -own.price_ticks, own.order_id))
        listed = self.account.listed(order.symbol)
        levels = listed.asks if order.side == BUY else listed.bids
        met, own_lots = [], 0
        for own in others:
            better = sum(
                lots
                for ticks, lots in levels.items()
                if (ticks < own.price_ticks if order.side == BUY else ticks > own.price_ticks)
            )
            if better + own_lots >= order.qty_lots:
                break
            met.append(own)
            own_lots += own.leaves_lots
        return met

    def _fill(self, order: Order, report: "Said") -> Fill:
        fill = self.account.fill(order, report.price_ticks, report.qty_lots, report.fee_e9, is_maker=report.is_maker)
        if self.is_spot and order.status == "FILLED":
            self.limits.give_back_order()
        self._later(order, "TRADE", fill)
        return fill

    def take_fills(self) -> None:
        """Book what the market has done to resting orders."""
        symbols = set()
        for report in self._reports():
            order = self.account.open.get(report.client_order_id)
            if order is not None and report.kind == ReportKind.FILL:
                self._fill(order, report)
                symbols.add(order.symbol)
        for symbol in symbols:
            self._expire_reducing(symbol)
        self.account.commit()

    def _end(self, order: Order, status: str, cancel_id: str = "", *, is_resting: bool = True) -> None:
        """End an order; `is_resting`: the matching still has it."""
        if is_resting:
            matching.cancel(self.matcher, order.match_id, self.venue.clock.now_ns())
        order.status = status
        order.updated_ms = self.venue.clock.now_ms()
        self.account.keep(order)
        execution = {"CANCELED": "CANCELED", "EXPIRED_IN_MATCH": "TRADE_PREVENTION"}.get(status, "EXPIRED")
        if not self.is_spot and execution == "TRADE_PREVENTION":
            execution = "EXPIRED"
        self._later(order, execution, None, cancel_id)

    def _expire_reducing(self, symbol: str) -> None:
        """End reduce-only orders that no longer would reduce."""
        position = self.account.positions.get(symbol, Position())
        for order in self.account.open_orders(symbol):
            reducible = -position.lots if order.side == BUY else position.lots
            if order.reduce_only and order.leaves_lots > reducible:
                self._end(order, "EXPIRED")

    def _later(self, order: Order, execution: str, fill: Fill | None, cancel_id: str = "") -> None:
        """Tell an event as it is now, once the step is written."""
        copy = msgspec.structs.replace(order)
        self.account.waiting.append(lambda: self.tell(copy, execution, fill, cancel_id))

    # What may be done to an order that is there.

    def find(self, params: Params, order_key: str = "orderId", client_key: str = "origClientOrderId") -> Order | None:
        """Find the order that a request names; None if there is none."""
        listed = find_listed(self.venue, params)
        order_id, client_id = params.get(order_key, ""), params.get(client_key, "")
        if not order_id and not client_id:
            text = f"Param '{client_key}' or '{order_key}' must be sent, but both were empty/null!"
            raise ApiError(-1102, text)
        return self.account.find(listed.symbol, order_id, client_id)

    def cancel(self, params: Params, order_key: str = "orderId", client_key: str = "origClientOrderId") -> Order:
        """Cancel an order."""
        order = self.find(params, order_key, client_key)
        if order is None or not order.is_open:
            raise ApiError(-2011, "Unknown order sent.")
        restrictions = params.get("cancelRestrictions", "")
        if restrictions and restrictions not in ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"):
            raise ApiError(-1145, "Invalid cancelRestrictions")
        if restrictions and restrictions != f"ONLY_{order.status}":
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
        self._end(order, "CANCELED", params.get("newClientOrderId", ""))
        self.account.commit()
        return order

    def cancel_all(self, symbol: str) -> list[Order]:
        """Cancel all of an instrument."""
        orders = self.account.open_orders(symbol)
        for order in orders:
            self._end(order, "CANCELED")
        self.account.commit()
        return orders

    def reduce(self, order: Order, lots: int, client_id: str) -> str:
        """Make an order smaller where it stands in its queue; give the name that it had."""
        if not matching.reduce(self.matcher, order.match_id, lots - order.filled_lots):
            raise ApiError(-2038, "The request to amend the order was rejected.")
        before, order.client_id = order.client_id, client_id
        order.qty_lots = lots
        order.amendments += 1
        order.updated_ms = self.venue.clock.now_ms()
        self.account.keep(order)
        self._later(order, "REPLACED", None, before)
        self.account.commit()
        return before

    def modify(self, order: Order, ticks: int, lots: int) -> Order:
        """Give an order another price and size; it goes to the end of its queue. One that can't stay ends."""
        listed = self.account.listed(order.symbol)
        if lots <= order.filled_lots:
            self._end(order, "CANCELED")
            self.account.commit()
            return order
        matching.cancel(self.matcher, order.match_id, self.venue.clock.now_ns())
        self.account.open.pop(order.match_id, None)
        order.price_ticks, order.qty_lots = ticks, lots
        order.amendments += 1
        order.updated_ms = self.venue.clock.now_ms()
        force = FORCE[order.time_in_force]
        met = [] if force == TimeInForce.POST_ONLY else self._would_meet(order)
        for own in met if order.stp != "EXPIRE_TAKER" else []:
            self._end(own, "EXPIRED_IN_MATCH")
        if met and order.stp != "EXPIRE_MAKER":  # it takes nothing before that
            self._end(order, "EXPIRED_IN_MATCH", is_resting=False)
            self.account.commit()
            return order
        reports = self._place(order, ticks, force)
        self.account.keep(order)
        if reports[0].kind == ReportKind.REJECTED:
            self._end(order, "EXPIRED" if force == TimeInForce.POST_ONLY else "CANCELED", is_resting=False)
        else:
            self._later(order, "AMENDMENT", None)
            for report in reports[1:]:
                self._fill(order, report)
        self._expire_reducing(listed.symbol)
        self.account.commit()
        return order

    def rest_again(self) -> None:
        """Put open orders of an earlier process back, behind what the book shows now."""
        for order in self.account.open_orders():
            request = self.matcher.order
            request.client_order_id = order.match_id
            request.instrument = self.account.listed(order.symbol).index
            request.side, request.price_ticks, request.qty_lots = order.side, order.price_ticks, order.leaves_lots
            request.time_in_force = int(TimeInForce.GTC)
            matching.rest(self.matcher, self.venue.clock.now_ns())
