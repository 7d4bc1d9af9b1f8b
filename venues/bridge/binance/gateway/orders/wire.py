"""What the order interfaces of spot and USD-M say, in the venue's words and numbers, and how it becomes ours.

Sources: binance-spot-api-docs, web-socket-api.md ("Place new order", "Query order", "Account trade history") and
user-data-stream.md ("Order update"); developers.binance.com, USDⓈ-M futures: "New Order", "Query Order", "Account Trade
List", "Event: Order Update". Numbers come as decimal texts; they become whole ticks and lots, or are an error.
"""

from typing import Any

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.gateway.definitions import Definition
from crosswire.venues.bridge.binance.gateway.log import plain
from crosswire.venues.bridge.binance.gateway.orders.account import ContradictionError, Order, Trade
from crosswire.venues.bridge.binance.gateway.orders.records import AmendAsked, Asked
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import to_e9
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E9
from crosswire.venues.order import FOK, GTC, IOC, POST_ONLY, RejectReason
from crosswire.venues.side import BUY, SELL

OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_CANCEL"})
ENDED_STATUSES = {
    "FILLED": RejectReason.NONE,
    "CANCELED": RejectReason.NONE,
    "EXPIRED": RejectReason.NONE,  # what an IOC or FOK could not fill
    "EXPIRED_IN_MATCH": RejectReason.SELF_MATCH,  # self-trade prevention
    "REJECTED": RejectReason.OTHER,
}
SIDES = {"BUY": BUY, "SELL": SELL}
SIDE_NAMES = {side: name for name, side in SIDES.items()}
ID_PREFIX = "cw"  # of the ids that a gateway of ours gives its orders


class OrderState(msgspec.Struct, rename="camel", kw_only=True):
    """An order as an answer tells it. A cancel's own id stands in `client_order_id`, the order's in `orig_`."""

    symbol: str
    order_id: int
    client_order_id: str
    orig_client_order_id: str = ""
    status: str
    executed_qty: str
    price: str = ""
    orig_qty: str = ""
    side: str = ""
    update_time: int = 0  # USD-M; ms
    transact_time: int = 0  # spot
    time: int = 0

    @property
    def id_text(self) -> str:
        """The order's own id."""
        return self.orig_client_order_id or self.client_order_id

    @property
    def time_ns(self) -> int:
        """Since when it is so."""
        return (self.transact_time or self.update_time or self.time) * NS_PER_MS


class SpotAmended(msgspec.Struct, kw_only=True):
    """The order in the answer to spot's `order.amend.keepPriority`, in words of its own."""

    symbol: str
    order_id: int = msgspec.field(name="orderId")
    client_order_id: str = msgspec.field(name="clientOrderId")
    status: str
    executed_qty: str = msgspec.field(name="executedQty")
    price: str
    qty: str


class SpotAmendAnswer(msgspec.Struct, rename="camel", kw_only=True):
    """The answer to spot's `order.amend.keepPriority`."""

    transact_time: int
    amended_order: SpotAmended

    @property
    def state(self) -> OrderState:
        """The order as all other answers tell it."""
        order = self.amended_order
        return OrderState(
            symbol=order.symbol,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            status=order.status,
            executed_qty=order.executed_qty,
            price=order.price,
            orig_qty=order.qty,
            transact_time=self.transact_time,
        )


class TradeState(msgspec.Struct, rename="camel", kw_only=True):
    """A trade as a list of trades tells it: `is_buyer`, `is_maker` on spot, `buyer`, `maker` on USD-M."""

    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool | None = None
    is_maker: bool | None = None
    buyer: bool = False
    maker: bool = False


class OrderEvent(msgspec.Struct, kw_only=True):
    """What the user data stream says of an order: spot's executionReport, and `o` of USD-M's ORDER_TRADE_UPDATE."""

    symbol: str = msgspec.field(name="s")
    client_id: str = msgspec.field(name="c")
    original_client_id: str = msgspec.field(name="C", default="")  # spot: of the order that a cancel is about
    side: str = msgspec.field(name="S")
    execution: str = msgspec.field(name="x")
    status: str = msgspec.field(name="X")
    order_id: int = msgspec.field(name="i")
    price: str = msgspec.field(name="p", default="")
    qty: str = msgspec.field(name="q", default="")
    last_qty: str = msgspec.field(name="l")
    executed_qty: str = msgspec.field(name="z")
    last_price: str = msgspec.field(name="L")
    commission: str | None = msgspec.field(name="n", default=None)
    commission_asset: str | None = msgspec.field(name="N", default=None)
    time: int = msgspec.field(name="T")
    trade_id: int = msgspec.field(name="t")
    is_maker: bool = msgspec.field(name="m", default=False)

    @property
    def id_text(self) -> str:
        """The order's own id."""
        return self.original_client_id or self.client_id


def order_id_text(begun_ns: int, client_order_id: int) -> str:
    """Make the venue's id of an order of ours: at most 35 of the 36 characters that it takes."""
    return f"{ID_PREFIX}{begun_ns:x}-{client_order_id:x}"


def client_order_id_of(begun_ns: int, text: str) -> int:
    """Read our id in one of the venue's; 0: it is none of this account's."""
    try:
        number = int(text.rpartition("-")[2], 16)
    except ValueError:
        return 0
    return number if text == order_id_text(begun_ns, number) else 0


def place_params(definition: Definition, asked: Asked, id_text: str, prevention: str) -> dict[str, Any]:
    """Make the parameters of `order.place`."""
    params: dict[str, Any] = {
        "symbol": definition.symbol,
        "side": SIDE_NAMES[asked.side],
        "type": "LIMIT",
        "timeInForce": {IOC: "IOC", FOK: "FOK", GTC: "GTC", POST_ONLY: "GTX"}[asked.time_in_force],
        "price": decimal_text(asked.price_ticks * tick_e9(definition)),
        "quantity": decimal_text(qty_e9(definition, asked.qty_lots)),
        "newClientOrderId": id_text,
        "newOrderRespType": "RESULT",
    }
    if prevention:
        params["selfTradePreventionMode"] = prevention
    if asked.time_in_force == POST_ONLY and definition.market == Market.SPOT:
        params["type"] = "LIMIT_MAKER"
        del params["timeInForce"]
    return params


AMEND_METHODS = {Market.SPOT: "order.amend.keepPriority", Market.USDM: "order.modify"}


def amend_params(definition: Definition, amend: AmendAsked, id_text: str) -> dict[str, Any]:
    """Make the parameters of `AMEND_METHODS`. On spot the order keeps the id that it has: left out, it gets another.

    Sources: binance-spot-api-docs, "Order Amend Keep Priority"; developers.binance.com, USDⓈ-M futures, "Modify Order".
    """
    quantity = decimal_text(qty_e9(definition, amend.qty_lots))
    params = {"symbol": definition.symbol, "origClientOrderId": id_text}
    if definition.market == Market.SPOT:
        return params | {"newQty": quantity, "newClientOrderId": id_text}
    price = decimal_text(amend.price_ticks * tick_e9(definition))
    return params | {"side": SIDE_NAMES[amend.side], "quantity": quantity, "price": price}


def amend_refusal(definition: Definition, order: Order, amend: AmendAsked) -> RejectReason:
    """Say what the venue can't amend, before it costs a request: spot makes an order smaller, and nothing else."""
    if definition.market == Market.SPOT:
        if amend.price_ticks != order.price_ticks:
            return RejectReason.BAD_PRICE
        if amend.qty_lots > order.qty_lots:
            return RejectReason.BAD_QUANTITY
    return filter_refusal(definition, amend)


def tick_e9(definition: Definition) -> int:
    """One tick in 1e-9 of the quote currency."""
    return to_e9(definition.terms.tick, "tick")


def qty_e9(definition: Definition, qty_lots: int) -> int:
    """Convert lots to what the venue counts quantities in: coins on spot and USD-M."""
    return qty_lots * to_e9(definition.terms.lot, "lot")


def decimal_text(value_e9: int) -> str:
    """Write units of 1e-9 as the shortest decimal."""
    sign = "-" if value_e9 < 0 else ""
    whole, rest = divmod(abs(value_e9), E9)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def lots_of(definition: Definition, text: str) -> int:
    """Count the lots in a quantity. ContradictionError: it is no whole number of them."""
    return _whole(definition, text, to_e9(definition.terms.lot, "lot"), "lots")


def ticks_of(definition: Definition, text: str) -> int:
    """Count the ticks in a price. ContradictionError: it is no whole number of them."""
    return _whole(definition, text, tick_e9(definition), "ticks")


def _whole(definition: Definition, text: str, unit_e9: int, name: str) -> int:
    try:
        count, rest = divmod(to_e9(text, name), unit_e9)
    except VenueError:
        raise ContradictionError(f"{definition.name}: {text[:40]!r} is no number of {name}") from None
    if rest or count < 0:
        raise ContradictionError(f"{definition.name}: {text[:40]} is no whole number of {name}")
    return count


def side_of(name: str) -> int:
    """Read the name of a side. ContradictionError: it is none."""
    if name not in SIDES:
        raise ContradictionError(f"{plain(name)} is no side of an order")
    return SIDES[name]


def fee_e9(definition: Definition, commission: str, asset: str, price_ticks: int) -> int | None:
    """Convert a fee to 1e-9 of the settlement currency; None: it was charged in a third one.

    Spot charges a buy in the base coin by default: that is worth its price.
    """
    charged_e9 = to_e9(commission, "commission")
    if charged_e9 == 0 or asset == definition.terms.settlement:
        return charged_e9
    if asset == definition.terms.base:
        return charged_e9 * price_ticks * tick_e9(definition) // E9
    return None


def trade_of_event(definition: Definition, client_order_id: int, event: OrderEvent, charged_e9: int) -> Trade:
    """Make a trade of an event of one."""
    return Trade(
        client_order_id=client_order_id,
        venue_order_id=event.order_id,
        trade_id=event.trade_id,
        instrument_id=definition.instrument_id,
        side=side_of(event.side),
        price_ticks=ticks_of(definition, event.last_price),
        qty_lots=lots_of(definition, event.last_qty),
        fee_e9=charged_e9,
        is_maker=event.is_maker,
        time_ns=event.time * NS_PER_MS,
        executed_lots=lots_of(definition, event.executed_qty),
    )


def trade_of_list(definition: Definition, client_order_id: int, state: TradeState, charged_e9: int) -> Trade:
    """Make a trade of an entry of a list of trades."""
    is_buyer = state.buyer if state.is_buyer is None else state.is_buyer
    return Trade(
        client_order_id=client_order_id,
        venue_order_id=state.order_id,
        trade_id=state.id,
        instrument_id=definition.instrument_id,
        side=BUY if is_buyer else SELL,
        price_ticks=ticks_of(definition, state.price),
        qty_lots=lots_of(definition, state.qty),
        fee_e9=charged_e9,
        is_maker=state.maker if state.is_maker is None else state.is_maker,
        time_ns=state.time * NS_PER_MS,
    )


def filter_refusal(definition: Definition, asked: Asked | AmendAsked) -> RejectReason:
    """Check an order by the venue's filters before it costs a request; NONE: they let it pass."""
    filters = definition.filters
    price_e9 = asked.price_ticks * tick_e9(definition)
    size_e9 = qty_e9(definition, asked.qty_lots)
    if asked.price_ticks <= 0 or price_e9 < filters.price_min_e9 or 0 < filters.price_max_e9 < price_e9:
        return RejectReason.BAD_PRICE
    if size_e9 < filters.qty_min_e9 or 0 < filters.qty_max_e9 < size_e9:
        return RejectReason.BAD_QUANTITY
    if price_e9 * size_e9 // E9 < filters.notional_min_e9:
        return RejectReason.BAD_QUANTITY
    return RejectReason.NONE
