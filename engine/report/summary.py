"""The figures of a run: what arbitrage traders ask, computed from the run's Parquet files in exact integers.

`summarise` reads a closed `Recorder`'s directory; money is written to `summary.json` as exact decimal numbers. Memory
is bounded by one row group of a file plus eight bytes for each opportunity.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from crosswire.engine.report.recorder import (
    CONFIG,
    FILLS,
    OPPORTUNITIES,
    ORDERS,
    POSITIONS,
    SUMMARY,
    TRADES,
    InstrumentInfo,
    make_instrument,
)
from crosswire.nic.warning import DataWarning
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.instrument import Kind, position_value_e9

# Counted as one in converted figures, and said so wherever such a figure is shown.
DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USDE", "DAI", "PYUSD"})

Money = dict[str, Decimal]  # by currency


class LatencyFacts(msgspec.Struct, kw_only=True):
    """One latency histogram. A percentile is the upper bound of the bucket it falls in."""

    buckets: list[tuple[int, int]]  # (upper bound in ns, count), smallest first
    max_ns: int
    negative: int = 0  # clocks that disagreed; in no bucket

    @property
    def count(self) -> int:
        return sum(count for _, count in self.buckets)

    def percentile_ns(self, percent: int) -> int:
        """Find the upper bound of the percentile's bucket, at most `max_ns`; 0 when nothing was counted."""
        wanted = -(-self.count * percent // 100)
        for upper_ns, count in self.buckets:
            wanted -= count
            if wanted <= 0:
                return min(upper_ns, self.max_ns)
        return 0


class VenueFacts(msgspec.Struct, kw_only=True):
    """What one venue's feed and order session counted."""

    packets: int = 0
    level_updates: int = 0
    sequence_gaps: int = 0
    duplicates: int = 0
    continuity_breaks: int = 0
    restarts: int = 0  # sequences that began anew
    definition_mismatches: int = 0
    rejects: dict[str, int] = {}  # packets or messages not believed, by reason; zero counts left out
    messages: dict[str, int] = {}  # by name
    counters: dict[str, int] = {}  # anything else worth showing


class StrategyFacts(msgspec.Struct, kw_only=True):
    """One strategy's part of a run."""

    orders: int = 0  # that ended, vetoed ones included
    fills: int = 0
    position: dict[str, Decimal] = {}  # at the end, by "venue/symbol"; what is flat is left out
    counters: dict[str, int] = {}  # its own


@dataclass
class RunFacts:
    """What only the engine knows of its run; everything else is computed from the records."""

    name: str
    config_file: str
    config_text: str  # TOML, shown in the report: the caller vouches that no secret is in it
    engine_version: str
    instruments: list[InstrumentInfo]  # by market index
    venues: dict[str, VenueFacts]
    frames: int
    messages: int
    level_updates: int
    orders_sent: int
    orders_vetoed: dict[str, int]  # by reason
    first_time_ns: int  # of the run's clock: first and last frame
    last_time_ns: int
    start_s: float  # from process start to the first frame
    wall_s: float  # the loop's own time, loading of captures included
    digest: str  # of every order frame sent
    warnings: list[DataWarning] = field(default_factory=list)  # what is wrong with the figures
    strategies: dict[str, StrategyFacts] = field(default_factory=dict)  # by name
    latencies: dict[str, LatencyFacts] = field(default_factory=dict)
    threshold_bps: float | None = None  # edge after taker fees of both legs at which the strategy trades
    counters: dict[str, int] = field(default_factory=dict)  # anything else worth showing


class OpportunitySummary(msgspec.Struct, kw_only=True):
    """An opportunity is captured when something was traded on both its legs."""

    count: int
    attempted: int
    captured: int
    capture_rate: float | None  # captured / count
    duration_median_ns: int | None  # nearest rank, so one of the durations themselves
    duration_p90_ns: int | None
    duration_max_ns: int | None
    peak_value: Money  # sum of edge times size at each one's peak, by quote currency of the buy leg
    blocked: dict[str, int]  # never attempted, by reason


class MissedLegSummary(msgspec.Struct, kw_only=True):
    """A leg is missed when its order had to be retried, or was repaired elsewhere at a cost."""

    trades: int
    retries: int
    cost: Money  # sum, by quote currency of the buy leg; negative: repairing them gained
    cost_mean: Money  # a trade with a missed leg
    cost_worst: Money


class TradeSummary(msgspec.Struct, kw_only=True):
    """Arbitrage trades of two legs."""

    count: int
    outcomes: dict[str, int]
    expected: Money  # sum, after fees, from the prices decided on, by quote currency of the buy leg
    realised: Money  # sum, after fees
    missed_legs: MissedLegSummary


class ProfitSummary(msgspec.Struct, kw_only=True):
    """One settlement currency. net = cash + position_value - fees."""

    cash: Decimal  # cash flows of all fills
    position_value: Decimal  # of what is still held, at the mean of the last valid bid and ask
    fees: Decimal  # paid; negative: rebates
    net: Decimal


class InstrumentSummary(msgspec.Struct, kw_only=True):
    """One instrument's trading and what is left of it."""

    fills: int
    volume: Decimal  # notional of all fills
    volume_currency: str  # the quote currency
    position: Decimal  # signed; base coin, of inverse contracts quote currency
    position_currency: str
    position_value: Decimal  # settlement currency, as in ProfitSummary
    settlement: str
    last_mid: Decimal | None  # last valid mean of bid and ask


class Approximation(msgspec.Struct, kw_only=True):
    """All P&L in one currency at the run's last prices: dollar coins count as one dollar."""

    currency: str
    net: Decimal
    left_out: list[str]  # currencies with P&L that nothing in the run prices


class RunSummary(msgspec.Struct, kw_only=True):
    """`summary.json`. Times are ns since the epoch (UTC) by the run's clock; money is in the currency that keys it."""

    name: str
    config_file: str
    engine_version: str
    first_time_ns: int
    last_time_ns: int
    start_s: float
    wall_s: float
    frames: int
    messages: int
    level_updates: int
    level_updates_per_s: float | None
    digest: str
    warnings: list[DataWarning] = []  # what is wrong with the figures
    opportunities: OpportunitySummary
    trades: TradeSummary
    unhedged_seconds: float  # sum over trades of the time with one leg ahead of the other
    orders_sent: int
    orders_vetoed: dict[str, int]
    orders_by_state: dict[str, int]  # at their end; vetoed ones included
    fills: int
    pnl: dict[str, ProfitSummary]  # by settlement currency
    pnl_approximation: Approximation | None
    fees: Money  # by settlement currency
    instruments: dict[str, InstrumentSummary]  # by "venue/symbol"
    venues: dict[str, VenueFacts]
    strategies: dict[str, StrategyFacts]
    counters: dict[str, int]
    latencies: dict[str, LatencyFacts]
    threshold_bps: float | None
    definitions: list[InstrumentInfo]  # by market index


def e9(units: int) -> Decimal:
    """Convert 1e-9 units to an exact decimal."""
    return Decimal(units).scaleb(-9).normalize() + 0 if units else Decimal(0)


def summarise(facts: RunFacts, directory: Path) -> RunSummary:
    """Compute the figures of the closed records in `directory`."""
    opportunities = _opportunities(directory / OPPORTUNITIES, facts.instruments)
    trades, unhedged_ns = _trades(directory / TRADES, facts.instruments)
    states: Counter[str] = Counter()
    for columns in read_columns(directory / ORDERS, ["state"]):
        states.update(columns["state"].tolist())
    accounts = _accounts(directory, facts.instruments)
    pnl = _profits(accounts)
    return RunSummary(
        name=facts.name,
        config_file=facts.config_file,
        engine_version=facts.engine_version,
        first_time_ns=facts.first_time_ns,
        last_time_ns=facts.last_time_ns,
        start_s=facts.start_s,
        wall_s=facts.wall_s,
        frames=facts.frames,
        messages=facts.messages,
        level_updates=facts.level_updates,
        level_updates_per_s=facts.level_updates / facts.wall_s if facts.wall_s > 0 else None,
        digest=facts.digest,
        warnings=facts.warnings,
        opportunities=opportunities,
        trades=trades,
        unhedged_seconds=unhedged_ns / 1e9,
        orders_sent=facts.orders_sent,
        orders_vetoed={reason: count for reason, count in facts.orders_vetoed.items() if count},
        orders_by_state=dict(sorted(states.items())),
        fills=sum(account.fills for account in accounts),
        pnl=pnl,
        pnl_approximation=_approximation(pnl, accounts),
        fees={currency: profit.fees for currency, profit in pnl.items()},
        instruments={account.info.name: account.summary() for account in accounts},
        venues=facts.venues,
        strategies=facts.strategies,
        counters=facts.counters,
        latencies=facts.latencies,
        threshold_bps=facts.threshold_bps,
        definitions=facts.instruments,
    )


def write_summary(summary: RunSummary, config_text: str, directory: Path) -> None:
    """Write `summary.json`, and the configuration beside it."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(summary)
    for name, content in ((CONFIG, config_text.encode()), (SUMMARY, msgspec.json.format(encoded) + b"\n")):
        partial = directory / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(directory / name)


def read_summary(directory: Path) -> RunSummary:
    """Read the summary of a finished run. FileNotFoundError: `directory` holds none."""
    return msgspec.json.decode((directory / SUMMARY).read_bytes(), type=RunSummary)


def read_columns(path: Path, names: list[str]) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Read columns of a Parquet file, a row group at a time: integers and floats as NumPy arrays, text as objects."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            if table.num_rows:
                yield {name: _numpy(table.column(name)) for name in names}


def _numpy(column: Any) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy()


def _nearest_rank(ordered: np.ndarray[Any, Any], percent: int) -> int | None:
    return int(ordered[-(-len(ordered) * percent // 100) - 1]) if len(ordered) else None


def _quote_of(instruments: list[InstrumentInfo], index: int) -> str:
    return instruments[index].quote if 0 <= index < len(instruments) else "unknown"


def _sums_by_currency(
    instruments: list[InstrumentInfo], legs: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> Counter[str]:
    """Sum integers exactly, by the quote currency of their buy leg."""
    sums: Counter[str] = Counter()
    for leg in np.unique(legs):
        sums[_quote_of(instruments, int(leg))] += sum(values[legs == leg].tolist())
    return sums


def _money(sums_e9: Mapping[str, int]) -> Money:
    return {currency: e9(units) for currency, units in sorted(sums_e9.items())}


def _opportunities(path: Path, instruments: list[InstrumentInfo]) -> OpportunitySummary:
    durations = [np.empty(0, np.int64)]
    captured = attempted = 0
    value: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    names = ["start_ns", "end_ns", "buy_instrument", "peak_value_e9", "captured_size_e9", "attempts", "blocked_by"]
    for rows in read_columns(path, names):
        durations.append(rows["end_ns"] - rows["start_ns"])
        captured += int(np.count_nonzero(rows["captured_size_e9"] > 0))
        attempted += int(np.count_nonzero(rows["attempts"] > 0))
        value.update(_sums_by_currency(instruments, rows["buy_instrument"], rows["peak_value_e9"]))
        blocked.update(rows["blocked_by"][rows["attempts"] == 0].tolist())
    ordered = np.sort(np.concatenate(durations))
    count = len(ordered)
    return OpportunitySummary(
        count=count,
        attempted=attempted,
        captured=captured,
        capture_rate=captured / count if count else None,
        duration_median_ns=_nearest_rank(ordered, 50),
        duration_p90_ns=_nearest_rank(ordered, 90),
        duration_max_ns=_nearest_rank(ordered, 100),
        peak_value=_money(value),
        blocked={reason or "not said": number for reason, number in blocked.most_common()},
    )


def is_missed(rows: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Tell which trades missed a leg: one that had to be retried, or cost something to repair."""
    return (rows["retries"] > 0) | (rows["miss_cost_e9"] != 0)


def _trades(path: Path, instruments: list[InstrumentInfo]) -> tuple[TradeSummary, int]:
    outcomes: Counter[str] = Counter()
    sums: dict[str, Counter[str]] = {key: Counter() for key in ("expected", "realised", "cost", "missed")}
    worst: dict[str, int] = {}
    retries = unhedged_ns = 0
    names = [
        "buy_instrument",
        "expected_value_e9",
        "realised_value_e9",
        "outcome",
        "retries",
        "unhedged_ns",
        "miss_cost_e9",
    ]
    for rows in read_columns(path, names):
        outcomes.update(rows["outcome"].tolist())
        retries += int(rows["retries"].sum())
        unhedged_ns += sum(rows["unhedged_ns"].tolist())
        missed = is_missed(rows)
        legs = rows["buy_instrument"]
        for key, chosen, values in (
            ("expected", legs, rows["expected_value_e9"]),
            ("realised", legs, rows["realised_value_e9"]),
            ("cost", legs[missed], rows["miss_cost_e9"][missed]),
            ("missed", legs[missed], np.ones(np.count_nonzero(missed), np.int64)),
        ):
            sums[key].update(_sums_by_currency(instruments, chosen, values))
        for leg, cost in zip(legs[missed].tolist(), rows["miss_cost_e9"][missed].tolist(), strict=True):
            currency = _quote_of(instruments, leg)
            worst[currency] = max(cost, worst.get(currency, cost))
    missed_legs = MissedLegSummary(
        trades=sum(sums["missed"].values()),
        retries=retries,
        cost=_money(sums["cost"]),
        cost_mean=_money({currency: round(sums["cost"][currency] / n) for currency, n in sums["missed"].items()}),
        cost_worst=_money(worst),
    )
    summary = TradeSummary(
        count=outcomes.total(),
        outcomes=dict(outcomes.most_common()),
        expected=_money(sums["expected"]),
        realised=_money(sums["realised"]),
        missed_legs=missed_legs,
    )
    return summary, unhedged_ns


@dataclass
class _Account:
    """One instrument's totals, in exact integers."""

    info: InstrumentInfo
    fills: int = 0
    volume_e9: int = 0
    cash_e9: int = 0
    fees_e9: int = 0
    position_lots: int = 0
    value_e9: int = 0
    bid_ticks: int | None = None
    ask_ticks: int | None = None

    @property
    def last_mid(self) -> Decimal | None:
        if self.bid_ticks is None or self.ask_ticks is None:
            return None
        return (e9(self.bid_ticks * self.info.tick_e9) + e9(self.ask_ticks * self.info.tick_e9)) / 2

    def summary(self) -> InstrumentSummary:
        return InstrumentSummary(
            fills=self.fills,
            volume=e9(self.volume_e9),
            volume_currency=self.info.quote,
            position=e9(self.position_lots * self.info.lot_e9),
            position_currency=self.info.size_currency,
            position_value=e9(self.value_e9),
            settlement=self.info.settlement,
            last_mid=self.last_mid,
        )


def _accounts(directory: Path, instruments: list[InstrumentInfo]) -> list[_Account]:
    """Sum cash, fees and positions from the fills; take prices from each instrument's last valid sample."""
    accounts = [_Account(info) for info in instruments]
    last_ticks: dict[int, int] = {}
    names = ["instrument", "notional_e9", "cash_flow_e9", "fee_e9", "position_lots", "price_ticks"]
    for rows in read_columns(directory / FILLS, names):
        for index in np.unique(rows["instrument"]).tolist():
            own = rows["instrument"] == index
            account = accounts[index]
            account.fills += int(np.count_nonzero(own))
            account.volume_e9 += sum(rows["notional_e9"][own].tolist())
            account.cash_e9 += sum(rows["cash_flow_e9"][own].tolist())
            account.fees_e9 += sum(rows["fee_e9"][own].tolist())
            account.position_lots = int(rows["position_lots"][own][-1])
            last_ticks[index] = int(rows["price_ticks"][own][-1])
    for index, sample in _last_priced(directory / POSITIONS, len(instruments)):
        account = accounts[index]
        account.bid_ticks, account.ask_ticks = sample["bid_ticks"], sample["ask_ticks"]
        if sample["position_lots"] == account.position_lots:
            account.value_e9 = sample["value_e9"]
    for index, account in enumerate(accounts):
        if account.position_lots != 0 and account.value_e9 == 0:
            # It traded after its last sample, or never had one: then the last fill is the only price there is.
            bid_ticks = last_ticks[index] if account.bid_ticks is None else account.bid_ticks
            ask_ticks = last_ticks[index] if account.ask_ticks is None else account.ask_ticks
            instrument = make_instrument(account.info)
            at_bid = position_value_e9(instrument, bid_ticks, account.position_lots)
            at_ask = position_value_e9(instrument, ask_ticks, account.position_lots)
            account.value_e9 = (at_bid + at_ask) // 2
    return accounts


def _last_priced(path: Path, count: int) -> Iterator[tuple[int, dict[str, int]]]:
    """List (instrument, its last sample with a valid bid and ask), read from the end of the file."""
    import pyarrow.parquet as pq

    wanted = set(range(count))
    names = ["instrument", "valid", "bid_ticks", "ask_ticks", "position_lots", "value_e9"]
    with pq.ParquetFile(path) as file:
        for group in reversed(range(file.num_row_groups)):
            if not wanted:
                return
            table = file.read_row_group(group, columns=names)
            rows = {name: _numpy(table.column(name)) for name in names}
            priced = rows["valid"] & (rows["bid_ticks"] != NO_BID) & (rows["ask_ticks"] != NO_ASK)
            for index in sorted(wanted):
                places = np.flatnonzero(priced & (rows["instrument"] == index))
                if len(places):
                    wanted.discard(index)
                    yield index, {name: int(rows[name][places[-1]]) for name in names}


def _profits(accounts: Iterable[_Account]) -> dict[str, ProfitSummary]:
    totals: dict[str, list[int]] = {}
    for account in accounts:
        total = totals.setdefault(account.info.settlement, [0, 0, 0])
        for position, amount in enumerate((account.cash_e9, account.value_e9, account.fees_e9)):
            total[position] += amount
    return {
        currency: ProfitSummary(cash=e9(cash), position_value=e9(value), fees=e9(fees), net=e9(cash + value - fees))
        for currency, (cash, value, fees) in sorted(totals.items())
    }


def report_currency(instruments: Iterable[InstrumentInfo]) -> str:
    """Choose the currency for converted figures: USD, or the one quote currency if there is but one."""
    quotes = {info.quote for info in instruments}
    return quotes.pop() if len(quotes) == 1 else "USD"


def pricing_instrument(currency: str, into: str, instruments: Iterable[InstrumentInfo]) -> int | None:
    """Find the market index of the instrument whose price converts `currency`.

    -1: it counts as one; None: nothing does.
    """
    if currency == into or (currency in DOLLARS and into in DOLLARS):
        return -1
    priced = [
        info
        for info in instruments
        if info.kind not in (Kind.OPTION, Kind.COMBO)  # their price is not their coin's
        and info.base == currency
        and (info.quote == into or (info.quote in DOLLARS and into in DOLLARS))
    ]
    return min(priced, key=lambda info: (info.kind, info.index)).index if priced else None


def _approximation(pnl: Mapping[str, ProfitSummary], accounts: list[_Account]) -> Approximation | None:
    if not pnl:
        return None
    infos = [account.info for account in accounts]
    into = report_currency(infos)
    net = Decimal(0)
    left_out = []
    for currency, profit in pnl.items():
        index = pricing_instrument(currency, into, infos)
        rate = None if index is None else Decimal(1) if index < 0 else accounts[index].last_mid
        if rate is not None:
            net += profit.net * rate
        elif profit.net:
            left_out.append(currency)
    return Approximation(currency=into, net=round(net, 9), left_out=left_out)
