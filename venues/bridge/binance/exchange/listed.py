"""One instrument as the stand-in lists it: its terms, its numbers as texts, and its book in plain Python.

The book here is the stand-in's truth: what a snapshot is made of and what tests compare with. It is kept beside the
one that orders are matched against (`matcher`), from the same messages.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from crosswire.nic.memory.struct import Array
from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import Terms, expiry_ns, to_e9
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text
from crosswire.venues.side import ASK, BID, BUY, SELL

HISTORY_MAX = 4_096  # update ids whose digest is remembered
DIGEST_MASK = (1 << 64) - 1
SPOT_DECIMALS = 8
NS_PER_MS = 1_000_000

Levels = list[tuple[str, str]]


def level_digest(side: int, price_ticks: int, qty_lots: int) -> int:
    """Mix one level into 64 bits (the finisher of SplitMix64, Steele et al., OOPSLA 2014)."""
    value = (price_ticks * 2 + side) * 0x9E3779B97F4A7C15 + qty_lots * 0xD1B54A32D192ED03 & DIGEST_MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & DIGEST_MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & DIGEST_MASK
    return value ^ value >> 31


def book_digest(bids: dict[int, int], asks: dict[int, int]) -> int:
    """Digest a whole book, {price in ticks: size in lots} a side: the sum of its levels', in whatever order."""
    levels = [(BID, bids), (ASK, asks)]
    return sum(level_digest(side, ticks, lots) for side, book in levels for ticks, lots in book.items()) & DIGEST_MASK


def decimals_of(text: str) -> int:
    """Count the digits behind the point."""
    return len(text.partition(".")[2])


@dataclass(eq=False)
class Listed:
    """An instrument: what the venue's information call tells of it, and its state."""

    market: Market
    symbol: str
    index: int  # in the market's matcher
    config: InstrumentConfig
    terms: Terms
    status: str = "TRADING"
    price_decimals: int = 0  # as the venue writes prices
    size_decimals: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    digest: int = 0
    history: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    update_id: int = 0  # of the last change of the book
    event_ms: int = 0  # E of it
    transaction_ms: int = 0  # T of it
    quote_id: int = 0
    quote: tuple[int, int, int, int] = (0, 0, 0, 0)  # bid, its size, ask, its size: of the newest of quote and book
    last_ticks: int = 0  # of the last trade, or the middle of the book before the first
    trade_id: int = 0
    is_proven: bool = False
    off_grid: int = 0  # levels that were no multiple of the tick: left out

    def __post_init__(self) -> None:
        self.tick_e9 = to_e9(self.terms.tick, "tick")
        self.contract_e9 = to_e9(self.terms.contract, "contract")
        self.lot_e9 = to_e9(self.terms.lot, "lot")
        # A coin-margined contract is counted in contracts, all others in coins.
        self.size_one_e9 = self.contract_e9 if self.market == Market.COINM else E9
        self.base, self.quote_asset = self.terms.base, self.terms.quote
        self.settlement = self.terms.settlement
        tick, step = self._plain(self.tick_e9), self._plain(self.lot_e9 * E9 // self.size_one_e9)
        self.price_precision, self.size_precision = decimals_of(tick), decimals_of(step)
        self.price_decimals = SPOT_DECIMALS if self.market == Market.SPOT else self.price_precision
        self.size_decimals = SPOT_DECIMALS if self.market == Market.SPOT else self.size_precision
        self.min_notional_e9 = to_e9(self.config.min_notional, "min_notional")
        self.percent_e9 = to_e9(self.config.percent_price, "percent_price")
        self.maker_fee_e9 = to_e9(self.terms.maker_fee, "maker_fee")
        self.taker_fee_e9 = to_e9(self.terms.taker_fee, "taker_fee")

    @staticmethod
    def _plain(value_e9: int) -> str:
        return format((Decimal(value_e9) / E9).normalize(), "f")

    @property
    def pair(self) -> str:
        """Name the pair, which is the symbol but for COIN-M."""
        return self.symbol.partition("_")[0]

    def ticks_of(self, text: str) -> int:
        """Read a recorded price; -1 if it is no multiple of the tick."""
        value_e9 = decimal_e9(text)
        ticks, rest = divmod(value_e9, self.tick_e9)
        return ticks if rest == 0 else -1

    def lots_of(self, text: str) -> int:
        """Read a recorded size, rounded down to whole lots."""
        return decimal_e9(text) * self.size_one_e9 // E9 // self.lot_e9

    def price_text(self, ticks: int, decimals: int = -1) -> str:
        """Write a price as the venue does."""
        return text_e9(ticks * self.tick_e9, self.price_decimals if decimals < 0 else decimals)

    def size_text(self, lots: int) -> str:
        """Write a size as the venue does."""
        return text_e9(lots * self.lot_e9 * E9 // self.size_one_e9, self.size_decimals)

    def describe(self, instrument: Instrument) -> None:
        """Fill in the terms that orders are matched and charged by."""
        instrument.index = self.index
        instrument.venue_id = self.index
        is_dated = expiry_ns(self.symbol) != 0
        instrument.kind = Kind.SPOT if self.market == Market.SPOT else Kind.FUTURE if is_dated else Kind.PERPETUAL
        instrument.payoff = Payoff.INVERSE if self.market == Market.COINM else Payoff.LINEAR
        instrument.tick_e9 = self.tick_e9
        instrument.lot_e9 = self.lot_e9
        instrument.tick_lot_e9 = self.tick_e9 * self.lot_e9 // E9
        instrument.contract_e9 = self.contract_e9
        instrument.maker_fee_e9 = self.maker_fee_e9
        instrument.taker_fee_e9 = self.taker_fee_e9
        instrument.expiry_ns = expiry_ns(self.symbol)
        instrument.ticks_per_unit = E9 / self.tick_e9
        instrument.lots_per_unit = E9 / self.lot_e9
        for name, text in (("symbol", self.symbol), ("base", self.base), ("quote", self.quote_asset)):
            set_text(getattr(instrument, name), text)
        set_text(instrument.settlement, self.settlement)

    def read_levels(self, bids: Levels, asks: Levels, changes: Array) -> int:
        """Put levels into `changes`, as ticks and lots; return how many. Those off the tick are counted."""
        count = 0
        for side, levels in ((BID, bids), (ASK, asks)):
            for price, size in levels:
                ticks = self.ticks_of(price)
                if ticks <= 0:
                    self.off_grid += 1
                    continue
                change = changes[count]
                change.side, change.price_ticks, change.qty_lots = side, ticks, self.lots_of(size)
                count += 1
        return count

    def apply(self, changes: list[tuple[int, int, int]], update_id: int) -> None:
        """Take (side, ticks, lots) into the plain book, and remember its digest."""
        digest = self.digest
        for side, ticks, lots in changes:
            book = self.bids if side == BID else self.asks
            before = book.pop(ticks, 0)
            if before:
                digest -= level_digest(side, ticks, before)
            if lots:
                book[ticks] = lots
                digest += level_digest(side, ticks, lots)
        self.digest = digest & DIGEST_MASK
        self.update_id = update_id
        self.history.append((update_id, self.digest))

    def clear(self) -> None:
        """Forget the book."""
        self.bids.clear()
        self.asks.clear()
        self.digest = 0

    def best(self) -> tuple[int, int, int, int]:
        """Find the best bid and ask among the levels, and their sizes; zeros for an empty side."""
        bid, ask = max(self.bids, default=0), min(self.asks, default=0)
        return bid, self.bids.get(bid, 0), ask, self.asks.get(ask, 0)

    def top(self) -> tuple[int, int, int, int]:
        """Find the best bid and ask by whatever is newer, the last bookTicker or the levels."""
        return self.quote if self.quote_id > self.update_id else self.best()

    def reference_ticks(self) -> int:
        """Find the price that others are measured by: of the last trade, else the middle."""
        if self.last_ticks:
            return self.last_ticks
        bid, _, ask, _ = self.best()
        return (bid + ask) // 2

    def depth(self, limit: int) -> tuple[Levels, Levels]:
        """Write the best levels of each side."""
        bids = sorted(self.bids.items(), reverse=True)[:limit]
        asks = sorted(self.asks.items())[:limit]
        price, size = self.price_text, self.size_text
        return [(price(t), size(q)) for t, q in bids], [(price(t), size(q)) for t, q in asks]


def decimal_e9(text: str) -> int:
    """Read a plain decimal that the venue wrote, to 1e-9, what is beyond cut off. ValueError if it is none."""
    whole, _, part = text.partition(".")
    return int(whole) * E9 + int((part + "000000000")[:9])


def text_e9(value_e9: int, decimals: int) -> str:
    """Write 1e-9 units with exactly so many decimals, at most 9; what does not fit is cut off."""
    sign, value_e9 = ("-", -value_e9) if value_e9 < 0 else ("", value_e9)
    whole, part = divmod(value_e9, E9)
    return f"{sign}{whole}.{part:09d}"[: len(sign) + len(str(whole)) + (decimals + 1 if decimals else 0)]


SIDE_NAMES = {BUY: "BUY", SELL: "SELL"}
