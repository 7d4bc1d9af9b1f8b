"""The venue's instruments as its exchangeInfo defines them: terms, filters, status; what changes while we run is told.

Both sides of the bridge read them: the market side publishes them, the order side checks orders by their filters.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from crosswire.venues.bridge.binance.gateway.config import BridgeConfig
from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.log import Log, plain
from crosswire.venues.bridge.binance.gateway.rest import RefusedError, Rest
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import FEES, Terms, channel_id_of, instrument_id_of, to_e9
from crosswire.venues.errors import VenueError

PATHS = {Market.SPOT: "/api/v3", Market.USDM: "/fapi/v1", Market.COINM: "/dapi/v1"}
INFO_WEIGHT = {Market.SPOT: 20, Market.USDM: 1, Market.COINM: 1}
TRADING = "TRADING"  # spot and futures alike; all other words mean that no order is taken
INVALID_SYMBOL = -1121  # developers.binance.com, "Error Codes"
INTERVALS_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What an order must keep to beside tick and lot, in units of 1e-9; 0: no such rule."""

    price_min_e9: int = 0
    price_max_e9: int = 0
    qty_min_e9: int = 0
    qty_max_e9: int = 0
    notional_min_e9: int = 0
    orders_max: int = 0  # open at once


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument."""

    market: Market
    symbol: str
    instrument_id: int  # on the feed: the same as an import of a recording gives it
    channel_id: int
    terms: Terms
    filters: Filters
    status: str

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"{self.market.name.lower()}.{self.symbol}"

    @property
    def is_trading(self) -> bool:
        """Tell whether the venue takes orders."""
        return self.status == TRADING


class InfoSymbol(msgspec.Struct, rename="camel"):
    """One symbol of exchangeInfo: the fields that matter here."""

    symbol: str
    base_asset: str
    quote_asset: str
    filters: list[dict[str, Any]]
    status: str = ""
    contract_status: str = ""  # COIN-M
    margin_asset: str = ""
    contract_size: Decimal | None = None  # COIN-M, in the quote currency


class InfoLimit(msgspec.Struct, rename="camel"):
    """One of exchangeInfo's rate limits."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class UntradableError(VenueError):
    """A configured instrument that there is not, or that can't be counted with: to ask again is of no use."""


class ExchangeInfo(msgspec.Struct, rename="camel"):
    """exchangeInfo: the fields that matter here."""

    symbols: list[msgspec.Raw]
    rate_limits: list[InfoLimit] = []


class SymbolName(msgspec.Struct):
    """Which symbol a part of exchangeInfo is about."""

    symbol: str


Watcher = Callable[[Definition | None, Definition], None]


class Definitions:
    """All instruments of one bridge, by market and symbol. `known` is set once all are."""

    def __init__(self, config: BridgeConfig, log: Log) -> None:
        """VenueError: two symbols would share a channel of the feed."""
        self.log = log
        self.wanted = [(market, symbol) for market, table in config.markets.items() for symbol in table.symbols]
        self.table: dict[tuple[Market, str], Definition] = {}
        self.known = asyncio.Event()
        self.watchers: list[Watcher] = []
        channels: dict[int, str] = {}
        for market, symbol in self.wanted:
            channel = channel_id_of(instrument_id_of(market, symbol))
            name = f"{market.name.lower()}.{symbol}"
            if channel in channels:
                raise VenueError(f"{name} and {channels[channel]} have one channel number: run a bridge for each")
            channels[channel] = name

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with the former and the new definition of every instrument that is new or has changed."""
        self.watchers.append(watcher)
        for each in self.table.values():
            watcher(None, each)

    async def fetch(self, market: Market, rest: Rest, limits: RateLimits) -> None:
        """Ask for exchangeInfo and take up what is new. VenueError."""
        path = f"{PATHS[market]}/exchangeInfo"
        symbols = [symbol for each, symbol in self.wanted if each == market]
        query = ""
        if market == Market.SPOT:  # the futures' has no such parameter
            query = f"?symbols=[{','.join(f'%22{symbol}%22' for symbol in symbols)}]"
        try:
            info = await rest.get(path + query, INFO_WEIGHT[market], ExchangeInfo)
        except RefusedError as error:
            if error.code == INVALID_SYMBOL:
                raise UntradableError(f"{market.name.lower()}.symbols: {error}") from None
            raise
        take_limits(limits, info.rate_limits)
        found = {}
        for raw in info.symbols:
            if msgspec.json.decode(raw, type=SymbolName).symbol in symbols:
                each = rest.decode(path, bytes(raw), InfoSymbol)
                found[each.symbol] = each
        for symbol in symbols:
            if symbol not in found:
                raise UntradableError(f"{market.name.lower()}.symbols: {rest.endpoint} has no symbol {symbol}")
            self._take(define(market, found[symbol]))
        if len(self.table) == len(self.wanted):
            self.known.set()

    def _take(self, definition: Definition) -> None:
        key = definition.market, definition.symbol
        former = self.table.get(key)
        if former == definition:
            return
        self.table[key] = definition
        terms = definition.terms
        what = f"tick {terms.tick}, lot {terms.lot}, status {definition.status}"
        self.log.event(definition.name, f"defined: {what}" if former is None else f"definition changed: {what}")
        for watcher in self.watchers:
            watcher(former, definition)


def take_limits(limits: RateLimits, told: list[InfoLimit]) -> None:
    """Take up the limits that the venue tells: weight a minute, and orders by interval."""
    for each in told:
        seconds = INTERVALS_S.get(each.interval, 0) * each.interval_num
        if each.rate_limit_type == "REQUEST_WEIGHT" and seconds > 0 and each.limit > 0:
            limits.weight_max = each.limit * 60 // seconds
        elif each.rate_limit_type == "ORDERS" and each.limit > 0:
            limits.order_limits[f"{each.interval_num}{each.interval[:1].lower()}"] = each.limit


def define(market: Market, info: InfoSymbol) -> Definition:
    """Make an instrument of what exchangeInfo says. VenueError: it lacks something, or it can't be counted with."""
    name = f"{market.name.lower()}.{info.symbol}"
    filters = {each.get("filterType"): each for each in info.filters}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    if market == Market.COINM:
        contract = info.contract_size
        if contract is None:
            raise UntradableError(f"{name}: exchangeInfo tells no contractSize")
        lot_size = contract * decimal_of(name, lot, "stepSize")
    else:
        contract = Decimal(1)
        lot_size = decimal_of(name, lot, "stepSize")
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    instrument_id = instrument_id_of(market, info.symbol)
    return Definition(
        market=market,
        symbol=info.symbol,
        instrument_id=instrument_id,
        channel_id=channel_id_of(instrument_id),
        terms=Terms(
            info.base_asset,
            info.quote_asset,
            info.margin_asset or info.quote_asset,
            tick=text_of(decimal_of(name, price, "tickSize")),
            lot=text_of(lot_size),
            contract=text_of(contract),
            **FEES[market],
        ),
        filters=Filters(
            price_min_e9=e9_of(name, price, "minPrice"),
            price_max_e9=e9_of(name, price, "maxPrice"),
            qty_min_e9=e9_of(name, lot, "minQty", contract),
            qty_max_e9=e9_of(name, lot, "maxQty", contract),
            notional_min_e9=e9_of(name, notional, "minNotional" if "minNotional" in notional else "notional"),
            orders_max=orders_max(filters.get("MAX_NUM_ORDERS", {})),
        ),
        status=plain(info.contract_status or info.status) or "unknown",
    )


def orders_max(rule: dict[str, Any]) -> int:
    """How many orders may be open at once: spot calls it maxNumOrders, the futures limit."""
    count = rule.get("maxNumOrders", rule.get("limit", 0))
    return count if isinstance(count, int) else 0


def decimal_of(name: str, rule: dict[str, Any], key: str) -> Decimal:
    """Read a positive decimal of a filter. VenueError: there is none."""
    try:
        value = Decimal(str(rule[key]))
    except (KeyError, InvalidOperation):
        value = Decimal(0)
    if not (value.is_finite() and value > 0):
        raise UntradableError(f"{name}: exchangeInfo tells no {key} to trade by")
    return value


def e9_of(name: str, rule: dict[str, Any], key: str, unit: Decimal = Decimal(1)) -> int:
    """Read a limit of a filter in units of 1e-9; 0 where there is none, or one beyond any order."""
    try:
        value = Decimal(str(rule.get(key, 0))) * unit
        return max(to_e9(str(value), key), 0)
    except (InvalidOperation, VenueError):
        return 0


def text_of(value: Decimal) -> str:
    """Write a decimal without exponent or needless zeros."""
    return f"{value.normalize():f}"


async def ask_time(market: Market, rest: Rest, clock: VenueClock) -> None:
    """Ask for the venue's time, and tell the clock. VenueError."""
    asked_ns = clock.clock_ns()
    answer = await rest.get(f"{PATHS[market]}/time", 1, ServerTime)
    clock.learn(asked_ns, clock.clock_ns(), answer.server_time)


class ServerTime(msgspec.Struct, rename="camel"):
    """The answer to a question for the time, ms since the epoch."""

    server_time: int
