"""What the venue tells everybody over REST and its websocket API: time, instruments, snapshots of books.

Keys as in rest-api.md ("Exchange information", "Order book") and filters.md of binance-spot-api-docs, and USD-M's
general information; values that a recording does not tell (minimum notional, price bands, how many orders) are the
configuration's and unverified for the real instruments.
"""

from typing import Any

import msgspec

from crosswire.venues.bridge.binance.exchange.errors import INVALID_SYMBOL, ApiError, illegal, is_number, missing
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.listed import Listed, text_e9
from crosswire.venues.bridge.binance.exchange.venue import Venue
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import expiry_ns
from crosswire.venues.instrument import E9

ORDER_TYPES = {
    Market.SPOT: ["LIMIT", "LIMIT_MAKER", "MARKET"],
    Market.USDM: ["LIMIT", "MARKET"],
    Market.COINM: ["LIMIT", "MARKET"],
}
TIMES_IN_FORCE = {
    Market.SPOT: ["GTC", "IOC", "FOK"],
    Market.USDM: ["GTC", "IOC", "FOK", "GTX"],
    Market.COINM: ["GTC", "IOC", "FOK", "GTX"],
}
# Without NONE: own orders can't trade with each other in a market that is played (`venues.exchange.matching`).
STP_MODES = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
STP_DEFAULT = "EXPIRE_MAKER"
# (limit up to, weight): rest-api.md "Order book"; USD-M's document of the same name.
DEPTH_WEIGHTS = {
    Market.SPOT: ((100, 5), (500, 25), (1_000, 50), (5_000, 250)),
    Market.USDM: ((50, 2), (100, 5), (500, 10), (1_000, 20)),
    Market.COINM: ((50, 2), (100, 5), (500, 10), (1_000, 20)),
}
DEPTH_DEFAULT = {Market.SPOT: 100, Market.USDM: 500, Market.COINM: 500}
FUTURES_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)
SYMBOLS_RANGE = r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$'
MAX_PRICE_TICKS = 100_000_000
AMENDS_MAX = 10  # of an order
MAX_QTY_LOTS = 900_000_000


def find_listed(venue: Venue, params: dict[str, str]) -> Listed:
    """Find the instrument that a request is about."""
    symbol = params.get("symbol", "")
    if not symbol:
        raise missing("symbol")
    if symbol not in venue.by_symbol:
        raise ApiError(*INVALID_SYMBOL)
    return venue.by_symbol[symbol]


def depth_limit(venue: Venue, params: dict[str, str]) -> int:
    """Read how many levels are asked for."""
    text = params.get("limit", str(DEPTH_DEFAULT[venue.market]))
    if not is_number(text) or int(text) == 0:
        raise ApiError(-1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.")
    limit = int(text)
    if venue.market == Market.SPOT:
        return min(limit, DEPTH_WEIGHTS[Market.SPOT][-1][0])
    if limit not in FUTURES_LIMITS:
        raise ApiError(-4021, f"{limit} is not valid depth limit.")
    return limit


def depth_weight(venue: Venue, params: dict[str, str]) -> int:
    """Tell what a snapshot weighs."""
    text = params.get("limit", str(DEPTH_DEFAULT[venue.market]))
    limit = int(text) if is_number(text) else 0
    weights = DEPTH_WEIGHTS[venue.market]
    return next((weight for up_to, weight in weights if limit <= up_to), weights[-1][1])


def depth(venue: Venue, params: dict[str, str]) -> dict[str, Any]:
    """Make a snapshot of a book."""
    listed = find_listed(venue, params)
    bids, asks = listed.depth(depth_limit(venue, params))
    body: dict[str, Any] = {"lastUpdateId": listed.update_id}
    if venue.market != Market.SPOT:
        body |= {"E": listed.event_ms, "T": listed.transaction_ms}
    if venue.market == Market.COINM:
        body |= {"symbol": listed.symbol, "pair": listed.pair}
    return body | {"bids": bids, "asks": asks}


def exchange_info(venue: Venue, limits: Limits, params: dict[str, str]) -> dict[str, Any]:
    """Describe all instruments, or those asked for."""
    if "symbol" in params and "symbols" in params:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if "symbol" in params:
        chosen = [find_listed(venue, params)]
    elif "symbols" in params:
        chosen = [find_listed(venue, {"symbol": name}) for name in read_names(params["symbols"])]
    else:
        chosen = venue.listed
    describe = spot_symbol if venue.market == Market.SPOT else futures_symbol
    return {
        "timezone": "UTC",
        "serverTime": venue.clock.now_ms(),
        "rateLimits": limits.describe(),
        "exchangeFilters": [],
        "symbols": [describe(venue, each) for each in chosen],
    }


def read_names(text: str) -> list[str]:
    """Read a list of instruments, which is JSON."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        raise illegal("symbols", SYMBOLS_RANGE) from None


def status_of(venue: Venue, listed: Listed) -> str:
    """Tell whether an instrument trades; in maintenance none does."""
    return listed.status if venue.is_open else "BREAK" if venue.market == Market.SPOT else "PENDING_TRADING"


def percent_text(value_e9: int) -> str:
    """Write a factor."""
    return text_e9(value_e9, 4)


def spot_symbol(venue: Venue, listed: Listed) -> dict[str, Any]:
    """Describe a spot instrument."""
    up, down = percent_text(E9 + listed.percent_e9), percent_text(E9 - listed.percent_e9)
    bands = {"bidMultiplierUp": up, "bidMultiplierDown": down, "askMultiplierUp": up, "askMultiplierDown": down}
    return {
        "symbol": listed.symbol,
        "status": status_of(venue, listed),
        "baseAsset": listed.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listed.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES[Market.SPOT],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *size_and_price_filters(listed),
            {"filterType": "PERCENT_PRICE_BY_SIDE", **bands, "avgPriceMins": 5},
            {
                "filterType": "NOTIONAL",
                "minNotional": text_e9(listed.min_notional_e9, 8),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": listed.config.max_orders},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": AMENDS_MAX},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": STP_DEFAULT,
        "allowedSelfTradePreventionModes": STP_MODES,
    }


def size_and_price_filters(listed: Listed) -> list[dict[str, Any]]:
    """Describe tick and lot."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": listed.price_text(1),
            "maxPrice": listed.price_text(MAX_PRICE_TICKS),
            "tickSize": listed.price_text(1),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": listed.size_text(1),
            "maxQty": listed.size_text(MAX_QTY_LOTS),
            "stepSize": listed.size_text(1),
        },
    ]


def futures_symbol(venue: Venue, listed: Listed) -> dict[str, Any]:
    """Describe a future."""
    is_coin = venue.market == Market.COINM
    delivery_ms = expiry_ns(listed.symbol) // 1_000_000
    lot = next(each for each in size_and_price_filters(listed) if each["filterType"] == "LOT_SIZE")
    body: dict[str, Any] = {
        "symbol": listed.symbol,
        "pair": listed.pair,
        "contractType": "CURRENT_QUARTER" if delivery_ms else "PERPETUAL",
        "deliveryDate": delivery_ms or 4_133_404_800_000,  # what the venue gives for a perpetual: 2100-12-25
        "onboardDate": 1_569_398_400_000,
        ("contractStatus" if is_coin else "status"): status_of(venue, listed),
        "baseAsset": listed.base,
        "quoteAsset": listed.quote_asset,
        "marginAsset": listed.settlement,
        "pricePrecision": listed.price_precision,
        "quantityPrecision": listed.size_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "triggerProtect": "0.0500",
        "filters": [
            *size_and_price_filters(listed),
            lot | {"filterType": "MARKET_LOT_SIZE"},
            {"filterType": "MAX_NUM_ORDERS", "limit": listed.config.max_orders},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": percent_text(E9 + listed.percent_e9),
                "multiplierDown": percent_text(E9 - listed.percent_e9),
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ORDER_TYPES[venue.market],
        "timeInForce": TIMES_IN_FORCE[venue.market],
    }
    if is_coin:
        return body | {"contractSize": listed.contract_e9 // E9, "equalQtyPrecision": 4}
    body["filters"].append({"filterType": "MIN_NOTIONAL", "notional": text_e9(listed.min_notional_e9, 0)})
    return body


def book_ticker(venue: Venue, params: dict[str, str]) -> dict[str, Any]:
    """Tell the best bid and ask."""
    listed = find_listed(venue, params)
    bid, bid_lots, ask, ask_lots = listed.top()
    body = {
        "symbol": listed.symbol,
        "bidPrice": listed.price_text(bid),
        "bidQty": listed.size_text(bid_lots),
        "askPrice": listed.price_text(ask),
        "askQty": listed.size_text(ask_lots),
    }
    return body if venue.market == Market.SPOT else body | {"time": listed.transaction_ms}


def premium_index(venue: Venue, params: dict[str, str]) -> dict[str, Any]:
    """Tell a perpetual's mark price and funding."""
    from crosswire.venues.bridge.binance.exchange.hub import mark_price

    event = mark_price(find_listed(venue, params), venue.clock.now_ns())
    return {
        "symbol": event["s"],
        "markPrice": event["p"],
        "indexPrice": event["i"],
        "lastFundingRate": event["r"],
        "nextFundingTime": event["T"],
        "time": event["E"],
    }
