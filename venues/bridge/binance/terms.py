"""What the numbers of each symbol mean: tick, lot, contract, fees; known ones, and others from TOML."""

import re
import zlib
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.text import RecordingError
from crosswire.venues.instrument import E9

EXPIRY_HOUR_UTC = 8  # delivery of Binance's dated futures


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one instrument's numbers mean: decimal texts. `contract` is the size of what the venue calls 1."""

    base: str
    quote: str
    settlement: str
    tick: str
    lot: str
    maker_fee: str
    taker_fee: str
    contract: str = "1"


# The venue's lowest tier. They are published in the definition, and an engine's own configuration decides.
FEES = {
    Market.SPOT: {"maker_fee": "0.001", "taker_fee": "0.001"},
    Market.USDM: {"maker_fee": "0.0002", "taker_fee": "0.0005"},
    Market.COINM: {"maker_fee": "0.0002", "taker_fee": "0.0005"},
}

# By market and pair. Ticks and lots: exchangeInfo's PRICE_FILTER and LOT_SIZE, and every price and size of a file is
# checked against them. Anything else, or other values: a TOML file (`load_terms`) or the `terms` argument.
DEFAULT_TERMS: dict[tuple[Market, str], Terms] = {
    (Market.SPOT, "BTCUSDT"): Terms("BTC", "USDT", "USDT", tick="0.01", lot="0.00001", **FEES[Market.SPOT]),
    (Market.SPOT, "ETHUSDT"): Terms("ETH", "USDT", "USDT", tick="0.01", lot="0.0001", **FEES[Market.SPOT]),
    (Market.USDM, "BTCUSDT"): Terms("BTC", "USDT", "USDT", tick="0.1", lot="0.001", **FEES[Market.USDM]),
    (Market.USDM, "ETHUSDT"): Terms("ETH", "USDT", "USDT", tick="0.01", lot="0.001", **FEES[Market.USDM]),
    (Market.COINM, "BTCUSD"): Terms("BTC", "USD", "BTC", tick="0.1", lot="100", contract="100", **FEES[Market.COINM]),
    (Market.COINM, "ETHUSD"): Terms("ETH", "USD", "ETH", tick="0.01", lot="10", contract="10", **FEES[Market.COINM]),
}


def load_terms(path: Path) -> dict[tuple[Market, str], Terms]:
    """Read terms from TOML: a table `[spot.BTCUSDT]` (`usdm`, `coinm`; the symbol or the pair before its `_`) each."""
    try:
        tables = msgspec.toml.decode(path.read_bytes(), type=dict[str, dict[str, Terms]])
        return {(market_of(name), symbol): terms for name, table in tables.items() for symbol, terms in table.items()}
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise RecordingError(f"{path}: {error}") from error


def market_of(name: str) -> Market:
    """The market of that name: `spot`, `usdm` or `coinm`."""
    try:
        return Market[name.upper()]
    except KeyError:
        raise ValueError(f"market {name!r} is none of {', '.join(m.name.lower() for m in Market)}") from None


def instrument_id_of(market: Market, symbol: str) -> int:
    """An instrument's id on the feed, CRC-32 of `<market>.<symbol>`: a symbol has the same one wherever it is told."""
    return zlib.crc32(f"{market.name.lower()}.{symbol}".encode())


def channel_id_of(instrument_id: int) -> int:
    """The channel that an instrument is published on, alone."""
    return instrument_id & 0xFFFF


def find_terms(path: Path, market: Market, symbol: str, terms: dict[tuple[Market, str], Terms]) -> Terms:
    """Find the terms of a symbol, or of its pair; given ones before the defaults."""
    for table in (terms, DEFAULT_TERMS):
        for name in (symbol, symbol.partition("_")[0]):
            if (market, name) in table:
                return table[market, name]
    name = f"{market.name.lower()}.{symbol}"
    raise RecordingError(f"{path}: no terms for {name}; give its tick and lot in a TOML file, --terms")


def to_e9(text: str, name: str) -> int:
    """Convert a decimal text to units of 1e-9, exactly."""
    try:
        value = Decimal(text) * E9
    except InvalidOperation:
        raise RecordingError(f"{name}={text!r} is no decimal number") from None
    if not value.is_finite():
        raise RecordingError(f"{name}={text!r} is no decimal number")
    if value != int(value):
        raise RecordingError(f"{name}={text!r} has more than nine decimals")
    if abs(value) >= 1 << 63:
        raise RecordingError(f"{name}={text!r} is too large to count with")
    return int(value)


def expiry_ns(symbol: str) -> int:
    """When a dated future is delivered, whose symbol ends in `_YYMMDD`; 0 for all others."""
    match = re.search(r"_(\d{6})$", symbol)
    if match is None:
        return 0
    day = datetime.strptime(match[1], "%y%m%d").replace(hour=EXPIRY_HOUR_UTC, tzinfo=UTC)
    return int(day.timestamp()) * E9
