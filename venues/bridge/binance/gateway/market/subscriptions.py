"""Which streams a market's instruments are told by, on which connections, and whose a message is."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from crosswire.venues.bridge.binance.gateway.config import MarketConfig
from crosswire.venues.bridge.binance.gateway.log import Log, plain
from crosswire.venues.bridge.binance.gateway.market.channel import Channel
from crosswire.venues.bridge.binance.market import Market

# Streams on one connection: spot 1,024, futures 200 (developers.binance.com, "WebSocket Streams" of each). At most 32
# symbols of four streams stay below both, so nothing is divided.
NAME_BEGIN = b'{"stream":"'
AT = b"@"
SHUTDOWN = b'"serverShutdown"'  # spot: "Server Shutdown": ten minutes before the venue ends a connection


def stream_names(market: Market, config: MarketConfig, symbol: str) -> dict[str, list[str]]:
    """Name an instrument's streams, by the part of the path that they are had by.

    USD-M's paths are apart since 2026-04-23: /public has depth and bookTicker, /market all others, the mark price among
    them ("Important WebSocket Change Notice"). That `@trade` of the futures, which their documents leave out, is had by
    /market is unverified.
    """
    name = symbol.lower()
    if config.protocol == "sbe":
        return {"": [f"{name}@depth", f"{name}@bestBidAsk", f"{name}@trade"]}
    depth = f"{name}@depth@{config.depth_ms}ms"
    if market == Market.USDM:
        return {"/public": [depth, f"{name}@bookTicker"], "/market": [f"{name}@trade", f"{name}@markPrice@1s"]}
    marks = [f"{name}@markPrice@1s"] if market == Market.COINM else []
    return {"": [depth, f"{name}@bookTicker", f"{name}@trade", *marks]}


def paths(market: Market, config: MarketConfig) -> dict[str, str]:
    """The connections' paths, by the part of the path that names their kind."""
    names: dict[str, list[str]] = {}
    for symbol in config.symbols:
        for kind, streams in stream_names(market, config, symbol).items():
            names.setdefault(kind, []).extend(streams)
    return {kind: f"{kind}/stream?streams={quote('/'.join(streams), safe='@/')}" for kind, streams in names.items()}


def make_router(
    channels: Sequence[Channel], name: str, log: Log, on_shutdown: Callable[[], None]
) -> Callable[[memoryview, bool], None]:
    """Make the function that hands each message of a connection to its instrument."""
    by_stream = {channel.symbol.lower(): channel for channel in channels}
    by_symbol = {channel.symbol: channel for channel in channels}
    lengths = sorted({len(symbol) for symbol in by_symbol})
    begin = len(NAME_BEGIN)

    def route_text(payload: memoryview) -> None:
        head = bytes(payload[:96])
        channel = by_stream.get(head[begin : head.find(AT, begin)]) if head.startswith(NAME_BEGIN) else None
        if channel is not None:
            channel.take(payload, False)
        elif SHUTDOWN in bytes(payload):
            log.event(name, "the venue is about to end the connection")
            on_shutdown()
        else:
            log.count("messages of no known stream")
            if b'"error"' in head:
                log.event(name, f"the venue says: {plain(head.decode(errors='replace'))}")

    def route_binary(payload: memoryview) -> None:
        for length in lengths:
            if len(payload) > length and payload[-length - 1] == length:
                channel = by_symbol.get(bytes(payload[-length:]))
                if channel is not None:
                    channel.take(payload, True)
                    return
        log.count("messages of no known stream")

    def route(payload: memoryview, is_binary: bool) -> None:
        if is_binary:
            route_binary(payload)
        else:
            route_text(payload)

    return route
