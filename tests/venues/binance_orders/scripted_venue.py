"""A venue in plain Python that keeps its own account and answers as badly as a network lets it, from a seed.

Requests are lost, arrive late, are executed without an answer or with one that leaves it open; events come late, twice,
in another order, or are dropped while nobody listens; REST fails. What it holds itself is the truth.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec

from crosswire.venues.bridge.binance.gateway.orders.api import UnansweredError
from crosswire.venues.bridge.binance.gateway.rest import RefusedError
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError
from tests.venues.binance_orders.virtual_time import VirtualLoop

SYMBOL = "BTCUSDT"
DECIMALS = {Market.SPOT: 5, Market.USDM: 3}  # of a quantity, by the terms that are built in
DUPLICATE = {
    Market.SPOT: {"code": -2010, "msg": "Duplicate order sent."},
    Market.USDM: {"code": -4116, "msg": "clientOrderId is duplicated."},
}
INSUFFICIENT = {
    Market.SPOT: {"code": -2010, "msg": "Account has insufficient balance for requested action."},
    Market.USDM: {"code": -2019, "msg": "Margin is insufficient."},
}


@dataclass
class VenueOrder:
    """An order as the venue has it."""

    order_id: int
    client_id: str
    side: str
    price: str
    qty_lots: int
    time_in_force: str
    filled_lots: int = 0
    status: str = "NEW"
    trades: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


class ScriptedVenue:
    """One market with one symbol and one account."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, trouble: float, market: Market) -> None:
        self.loop = loop
        self.chance = chance
        self.trouble = trouble  # how often something goes wrong, 0 .. 1
        self.orders: dict[str, VenueOrder] = {}
        self.position_lots = 0
        self.is_ready = self.is_open = True
        self.on_event: Callable[[bytes], None] = lambda _payload: None
        self.market = market
        self._next_id = 1
        self._next_trade_id = 100
        self._epoch = 0  # of the connection: an answer of a former one is never heard
        self.requests = 0

    def qty(self, lots: int) -> str:
        """Write lots as the venue writes quantities."""
        return f"{lots / 10 ** DECIMALS[self.market]:.{DECIMALS[self.market]}f}"

    # The order interface, in the place of `OrderApi`.

    def timed(self, params: dict[str, Any]) -> dict[str, Any]:
        return params

    async def call(self, method: str, params: dict[str, Any]) -> bytes:
        self.requests += 1
        sent_ms = self.loop.clock_ns() // 1_000_000
        epoch = self._epoch
        fate = self.chance.random() < self.trouble and self.chance.choice(["lost", "late", "mute", "unknown"])
        if fate == "lost":
            await self._never(epoch)
        delay_s = self.chance.uniform(0.0, 4.0) if fate == "late" else self.chance.uniform(0.0, 0.02)
        executed = self.loop.create_task(self._execute(method, params, sent_ms, delay_s))
        if fate == "mute":
            await self._never(epoch)
        deadline_s = self.loop.time() + 5.0
        while not executed.done() and self.loop.time() < deadline_s:
            await asyncio.sleep(0.005)
        if not executed.done() or epoch != self._epoch:
            raise UnansweredError(f"{method}: no answer")
        if fate == "unknown":
            raise RefusedError(method, 503, -1007, "Timeout waiting for response from backend server.")
        status, answer = executed.result()
        if status != 200:
            raise RefusedError(method, status, answer["code"], answer["msg"])
        return json.dumps(answer).encode()

    async def _never(self, epoch: int) -> None:
        for _ in range(100):
            await asyncio.sleep(0.05)
            if epoch != self._epoch:
                break
        raise UnansweredError("no answer")

    async def _execute(
        self, method: str, params: dict[str, Any], sent_ms: int, delay_s: float
    ) -> tuple[int, dict[str, Any]]:
        await asyncio.sleep(delay_s)
        if self.loop.clock_ns() // 1_000_000 - sent_ms > 2_000:
            return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        if method == "order.place":
            return self._place(params)
        by_id = [each for each in self.orders.values() if each.order_id == params.get("orderId")]
        order = by_id[0] if by_id else self.orders.get(params.get("origClientOrderId", ""))
        if method == "order.cancel":
            if order is None or not order.is_open:
                return 400, {"code": -2011, "msg": "Unknown order sent."}
            order.status = "CANCELED"
            self._tell(order, "CANCELED")
        if order is None:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        if method == "order.amend.keepPriority":
            return self._reduce(order, params)
        if method == "order.modify":
            return self._modify(order, params)
        return 200, self._state(order)

    def _lots(self, quantity: str) -> int:
        return round(float(quantity) * 10 ** DECIMALS[self.market])

    def _reduce(self, order: VenueOrder, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Spot's amend."""
        lots = self._lots(params["newQty"])
        assert params["newClientOrderId"] == order.client_id
        if not order.is_open:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        if not order.filled_lots < lots < order.qty_lots:
            return 400, {"code": -2038, "msg": "The request to amend the order was rejected."}
        order.qty_lots = lots
        self._tell(order, "REPLACED")
        state = self._state(order)
        state["qty"] = state.pop("origQty")
        return 200, {"transactTime": state.pop("updateTime"), "executionId": 1, "amendedOrder": state}

    def _modify(self, order: VenueOrder, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """USD-M's amend: one to less than is filled ends the order."""
        lots = self._lots(params["quantity"])
        assert params["side"] == order.side
        if not order.is_open:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        if (lots, params["price"]) == (order.qty_lots, order.price):
            return 400, {"code": -5027, "msg": "No need to modify the order."}
        if lots <= order.filled_lots:
            order.status = "CANCELED"
            self._tell(order, "CANCELED")
            return 200, self._state(order)
        order.qty_lots, order.price = lots, params["price"]
        self._tell(order, "AMENDMENT")
        while order.is_open and self.chance.random() < 0.3:
            self.fill(order)
        return 200, self._state(order)

    def _place(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        client_id = params["newClientOrderId"]
        if client_id in self.orders:
            return 400, DUPLICATE[self.market]
        if self.chance.random() < 0.05:
            return 400, INSUFFICIENT[self.market]
        order = VenueOrder(
            order_id=self._next_id,
            client_id=client_id,
            side=params["side"],
            price=params["price"],
            qty_lots=self._lots(params["quantity"]),
            time_in_force=params["timeInForce"],
        )
        self._next_id += 1
        self.orders[client_id] = order
        self._tell(order, "NEW")
        while order.is_open and self.chance.random() < 0.5:
            self.fill(order)
        if order.time_in_force == "IOC" and order.is_open:
            order.status = "EXPIRED"
            self._tell(order, "EXPIRED")
        return 200, self._state(order)

    def fill(self, order: VenueOrder) -> None:
        """Fill a part of an open order."""
        lots = self.chance.randint(1, order.qty_lots - order.filled_lots)
        order.filled_lots += lots
        order.status = "FILLED" if order.filled_lots == order.qty_lots else "PARTIALLY_FILLED"
        self.position_lots += lots if order.side == "BUY" else -lots
        trade = {
            "symbol": SYMBOL,
            "id": self._next_trade_id,
            "orderId": order.order_id,
            "price": order.price,
            "qty": self.qty(lots),
            "commission": "0.01",
            "commissionAsset": "USDT",
            "time": self.loop.clock_ns() // 1_000_000,
        }
        trade |= dict.fromkeys(("buyer", "isBuyer")[self.market == Market.SPOT :][:1], order.side == "BUY")
        trade |= dict.fromkeys(("maker", "isMaker")[self.market == Market.SPOT :][:1], False)
        self._next_trade_id += self.chance.randint(1, 3)  # others trade too
        order.trades.append(trade)
        self._tell(order, "TRADE", trade)

    def trade_by_hand(self) -> None:
        """Let the account's owner trade beside the gateway."""
        client_id = f"web_{self._next_id}"
        order = VenueOrder(self._next_id, client_id, self.chance.choice(["BUY", "SELL"]), "60000.0", 10, "GTC")
        self._next_id += 1
        self.orders[client_id] = order
        while order.is_open:
            self.fill(order)

    def _state(self, order: VenueOrder) -> dict[str, Any]:
        return {
            "symbol": SYMBOL,
            "orderId": order.order_id,
            "clientOrderId": order.client_id,
            "status": order.status,
            "executedQty": self.qty(order.filled_lots),
            "price": order.price,
            "origQty": self.qty(order.qty_lots),
            "side": order.side,
            "updateTime": self.loop.clock_ns() // 1_000_000,
        }

    def _tell(self, order: VenueOrder, execution: str, trade: dict[str, Any] | None = None) -> None:
        now_ms = self.loop.clock_ns() // 1_000_000
        inner = {
            "s": SYMBOL,
            "c": order.client_id,
            "S": order.side,
            "x": execution,
            "X": order.status,
            "i": order.order_id,
            "p": order.price,
            "q": self.qty(order.qty_lots),
            "l": trade["qty"] if trade else "0",
            "z": self.qty(order.filled_lots),
            "L": order.price if trade else "0",
            "n": "0.01",
            "N": "USDT",
            "T": now_ms,
            "t": trade["id"] if trade else 0,
            "m": False,
        }
        if self.market == Market.USDM:
            event: dict[str, Any] = {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "o": inner}
        else:
            event = {"e": "executionReport", "E": now_ms, **inner}
            if execution == "CANCELED":  # whose own id is another
                event |= {"c": "cancel", "C": order.client_id}
            elif execution == "REPLACED":
                event |= {"C": order.client_id}
        payload = json.dumps(event).encode()
        for _ in range(2 if self.chance.random() < self.trouble else 1):
            delay_s = self.chance.uniform(0.0, 0.5 if self.chance.random() < self.trouble else 0.01)
            self.loop.call_later(delay_s, self._deliver, payload, self._epoch)

    def _deliver(self, payload: bytes, epoch: int) -> None:
        if epoch == self._epoch and self.is_open:
            self.on_event(payload)

    def cut(self) -> None:
        """Lose the connections: what is on its way never arrives."""
        self._epoch += 1
        self.is_ready = self.is_open = False

    def connect(self) -> None:
        """Be there again."""
        self.is_ready = self.is_open = True

    # REST, in the place of `Rest`.

    def _fail(self) -> None:
        if self.chance.random() < self.trouble / 2:
            raise VenueError("no answer within 10 s")

    async def get(self, _path: str, _weight: int, kind: type[Any]) -> Any:
        self._fail()
        return msgspec.json.decode(json.dumps({"serverTime": self.loop.clock_ns() // 1_000_000}), type=kind)

    async def request(self, _method: str, path: str, _weight: int, _headers: dict[str, str] | None = None) -> bytes:
        await asyncio.sleep(self.chance.uniform(0.0, 0.02))
        self._fail()
        where, _, query = path.partition("?")
        values = {name: each[0] for name, each in parse_qs(query).items()}
        if where.endswith(("userTrades", "myTrades")):
            trades = [each for order in self.orders.values() for each in order.trades]
            if "orderId" in values:
                trades = [each for each in trades if each["orderId"] == int(values["orderId"])]
            trades = [each for each in trades if each["id"] >= int(values.get("fromId", 0))]
            return json.dumps(sorted(trades, key=lambda each: each["id"])[: int(values["limit"])]).encode()
        if where.endswith("openOrders"):
            return json.dumps([self._state(each) for each in self.orders.values() if each.is_open]).encode()
        if where.endswith("positionRisk"):
            return json.dumps([{"symbol": SYMBOL, "positionAmt": self.qty(self.position_lots)}]).encode()
        return b"{}"
