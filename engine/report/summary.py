"""The figures of a run: what arbitrage traders ask, computed from the run's Parquet files in exact integers.

`summarise` reads a closed `Recorder`'s directory; money is written to `summary.json` as exact decimal numbers. Memory
is bounded by one row group of a file plus some 100 bytes for each opportunity.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from crosswire.engine.build.money import MoneyTerms
from crosswire.engine.report.account import Account, Carried, PairAccount, read_accounts
from crosswire.engine.report.charge_rows import steps_of
from crosswire.engine.report.columns import read_columns
from crosswire.engine.report.counted import counted_once
from crosswire.engine.report.currency import Money, e9, money_of, pricing_instrument, report_currency
from crosswire.engine.report.drawdown import Drawdown, Drawdowns, read_drawdowns
from crosswire.engine.report.holding import HoldingCosts, read_holding
from crosswire.engine.report.margins import MarginSummary
from crosswire.engine.report.profit import Profit
from crosswire.engine.report.recorder import CONFIG, OPPORTUNITIES, ORDERS, POSITIONS, SUMMARY, TRADES, InstrumentInfo
from crosswire.nic.warning import DataWarning


class LatencyFacts(msgspec.Struct, kw_only=True):
    """One latency histogram. A percentile is the upper bound of the bucket it falls in."""

    buckets: list[tuple[int, int]]  # (upper bound in ns, count), smallest first
    max_ns: int
    negative: int = 0  # clocks that disagreed; in no bucket
    percentiles_ns: dict[str, int] = {}  # by percent, with a bucket's values spread evenly over it

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

    digest: str = ""  # of every order frame that its simulated exchange was sent
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
    units: dict[str, str] = {}  # of its parameters, by name


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
    counters: dict[str, int] = field(default_factory=dict)  # anything else worth showing
    money: MoneyTerms = field(default_factory=MoneyTerms)  # what holding costs
    settings: list[str] = field(default_factory=list)  # "key=value" of what was set for it beside its file


class OpportunitySummary(msgspec.Struct, kw_only=True):
    """An opportunity lies on two fresh books; it is captured when something was traded on both its legs."""

    count: int
    attempted: int
    captured: int
    capture_rate: float | None  # captured / count
    duration_median_ns: int | None  # nearest rank, so one of the durations themselves
    duration_p90_ns: int | None
    duration_max_ns: int | None
    peak_value: Money  # sum of edge times size at each one's peak, by quote currency of the buy leg; no leg twice
    shared_value: Money  # of those left out of it, because a greater one took the same side of a book meanwhile
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
    traded: Money  # the same from the prices traded: what the legs were apart, not what has been earned; see `pnl`
    missed_legs: MissedLegSummary


class ProfitParts(msgspec.Struct, kw_only=True):
    """P&L after fees in one currency, taken apart as docs/report.md says: net = realised + locked + open, exactly."""

    realised: Decimal  # both legs are flat
    locked: Decimal  # hedged, and still held
    open: Decimal  # held without a hedge
    net: Decimal  # marked: all of it, what is held at the mean of its values at the last valid bid and ask
    flattened: Decimal  # if what is held were traded away at the last valid bid and ask, for taker fees


class ProfitSummary(ProfitParts, kw_only=True):
    """One settlement currency. net = cash + position_value - fees - charges."""

    cash: Decimal  # cash flows of all fills
    position_value: Decimal  # of what is still held, as in `net`
    fees: Decimal  # paid; negative: rebates
    charges: Decimal  # paid for holding: funding, borrowing, delivery; part of what is realised
    charges_by_kind: dict[str, Decimal]
    carried: Decimal  # cash less fees that an earlier run of the account had booked, part of the above
    drawdown: Drawdown  # of `net` over the samples


class InstrumentSummary(ProfitParts, kw_only=True):
    """One instrument's trading and what is left of it. P&L is in the settlement currency."""

    fills: int
    volume: Decimal  # notional of all fills
    volume_currency: str  # the quote currency
    position: Decimal  # signed; base coin, of inverse contracts quote currency
    position_currency: str
    position_value: Decimal  # settlement currency, as in ProfitSummary
    settlement: str
    last_mid: Decimal | None  # last valid mean of bid and ask


class PairSummary(msgspec.Struct, kw_only=True):
    """The trades of one pair as an account of its own.

    `net` adds up over pairs; the other parts do not where two pairs share a leg that hedges both.
    """

    instruments: list[str]  # two; none: fills that belong to no trade of two legs
    trades: int
    fills: int
    pnl: dict[str, ProfitParts]  # by settlement currency


class Approximation(ProfitParts, kw_only=True):
    """All P&L in one currency at the run's last prices: dollar coins count as one dollar."""

    currency: str
    left_out: list[str]  # currencies with P&L that nothing in the run prices
    drawdown: Drawdown  # each sample at its own prices


class RunSummary(msgspec.Struct, kw_only=True):
    """`summary.json`. Times are ns since the epoch (UTC) by the run's clock; money is in the currency that keys it."""

    name: str
    kind: str = ""  # "backtest" or "live"
    config_file: str
    settings: list[str] = []  # "key=value" of what was set for it beside its file
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
    orders_by_state: dict[str, int]  # at their end, or the data's; vetoed ones included
    fills: int
    pnl: dict[str, ProfitSummary]  # by settlement currency
    pnl_approximation: Approximation | None
    fees: Money  # by settlement currency
    instruments: dict[str, InstrumentSummary]  # by "venue/symbol"
    pairs: list[PairSummary]  # the most traded first
    venues: dict[str, VenueFacts]
    strategies: dict[str, StrategyFacts]
    counters: dict[str, int]
    latencies: dict[str, LatencyFacts]
    definitions: list[InstrumentInfo]  # by market index
    margins: list[MarginSummary] = []  # of the accounts that have a balance configured
    maker_fills: int = 0  # of `fills`

    @property
    def has_legs(self) -> bool:
        """Tell whether it traded in legs, or looked for it: other strategies have no opportunities and trades."""
        return self.trades.count > 0 or self.opportunities.count > 0 or self.fills == 0


def summarise(
    facts: RunFacts, directory: Path, carried: Mapping[int, Carried] | None = None, kind: str = "backtest"
) -> RunSummary:
    """Compute the figures of the closed records in `directory`; `carried`: what the run began with, by market index."""
    opportunities = _opportunities(directory / OPPORTUNITIES, facts.instruments)
    trades, unhedged_ns = _trades(directory / TRADES, facts.instruments)
    states: Counter[str] = Counter()
    for columns in read_columns(directory / ORDERS, ["state"]):
        states.update(columns["state"].tolist())
    accounts = read_accounts(directory, facts.instruments, carried)
    range_ns = (facts.first_time_ns, facts.last_time_ns)
    costs = read_holding(directory, facts.instruments, facts.money, range_ns, carried or {})
    for account in accounts.instruments:
        account.charge(costs.paid_e9(account.info.index))
    drawdowns = read_drawdowns(directory / POSITIONS, facts.instruments, steps_of(costs.charges))
    pnl = _profits(accounts.instruments, drawdowns, costs)
    return RunSummary(
        name=facts.name,
        kind=kind,
        config_file=facts.config_file,
        settings=facts.settings,
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
        warnings=facts.warnings + accounts.warnings + costs.warnings,
        opportunities=opportunities,
        trades=trades,
        unhedged_seconds=unhedged_ns / 1e9,
        orders_sent=facts.orders_sent,
        orders_vetoed={reason: count for reason, count in facts.orders_vetoed.items() if count},
        orders_by_state=dict(sorted(states.items())),
        fills=sum(account.fills for account in accounts.instruments),
        pnl=pnl,
        pnl_approximation=_approximation(pnl, accounts.instruments, drawdowns),
        fees={currency: profit.fees for currency, profit in pnl.items()},
        instruments={account.info.name: _instrument(account) for account in accounts.instruments},
        pairs=[_pair(pair, facts.instruments) for pair in accounts.pairs],
        venues=facts.venues,
        strategies=facts.strategies,
        counters=facts.counters,
        latencies=facts.latencies,
        definitions=facts.instruments,
        margins=costs.margins,
        maker_fills=sum(account.maker_fills for account in accounts.instruments),
    )


def write_summary(summary: RunSummary, config_text: str, directory: Path) -> None:
    """Write `summary.json`, and the configuration beside it."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(summary)
    for name, content in ((CONFIG, config_text.encode()), (SUMMARY, msgspec.json.format(encoded) + b"\n")):
        partial = directory / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(directory / name)


def read_summary(directory: Path) -> RunSummary:
    """Read the summary of a finished run. FileNotFoundError: `directory` holds none. MsgspecError: it is damaged."""
    try:
        summary = msgspec.json.decode((directory / SUMMARY).read_bytes(), type=RunSummary)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None
    if [info.index for info in summary.definitions] != list(range(len(summary.definitions))):
        raise msgspec.ValidationError("its instruments are not in order")
    return summary


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


def _opportunities(path: Path, instruments: list[InstrumentInfo]) -> OpportunitySummary:
    numbers = ["start_ns", "end_ns", "buy_instrument", "sell_instrument", "peak_value_e9", "legs"]
    kept: list[dict[str, np.ndarray[Any, Any]]] = [{name: np.empty(0, np.int64) for name in numbers}]
    captured = attempted = 0
    blocked: Counter[str] = Counter()
    for rows in read_columns(path, [*numbers, "captured_size_e9", "attempts", "blocked_by"]):
        kept.append({name: rows[name] for name in numbers})
        captured += int(np.count_nonzero(rows["captured_size_e9"] > 0))
        attempted += int(np.count_nonzero(rows["attempts"] > 0))
        blocked.update(rows["blocked_by"][rows["attempts"] == 0].tolist())
    start, end, buy, sell, value, legs = (np.concatenate([part[name] for part in kept]) for name in numbers)
    counted = counted_once(start, end, buy, sell, value, legs)
    ordered = np.sort(end - start)
    count = len(ordered)
    return OpportunitySummary(
        count=count,
        attempted=attempted,
        captured=captured,
        capture_rate=captured / count if count else None,
        duration_median_ns=_nearest_rank(ordered, 50),
        duration_p90_ns=_nearest_rank(ordered, 90),
        duration_max_ns=_nearest_rank(ordered, 100),
        peak_value=money_of(_sums_by_currency(instruments, buy[counted], value[counted])),
        shared_value=money_of(_sums_by_currency(instruments, buy[~counted], value[~counted])),
        blocked={reason or "not said": number for reason, number in blocked.most_common()},
    )


def is_missed(rows: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Tell which trades missed a leg: one that had to be retried, or cost something to repair."""
    return (rows["retries"] > 0) | (rows["miss_cost_e9"] != 0)


def _trades(path: Path, instruments: list[InstrumentInfo]) -> tuple[TradeSummary, int]:
    outcomes: Counter[str] = Counter()
    sums: dict[str, Counter[str]] = {key: Counter() for key in ("expected", "traded", "cost", "missed")}
    worst: dict[str, int] = {}
    retries = unhedged_ns = 0
    names = [
        "buy_instrument",
        "expected_value_e9",
        "traded_value_e9",
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
            ("traded", legs, rows["traded_value_e9"]),
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
        cost=money_of(sums["cost"]),
        cost_mean=money_of({currency: round(sums["cost"][currency] / n) for currency, n in sums["missed"].items()}),
        cost_worst=money_of(worst),
    )
    summary = TradeSummary(
        count=outcomes.total(),
        outcomes=dict(outcomes.most_common()),
        expected=money_of(sums["expected"]),
        traded=money_of(sums["traded"]),
        missed_legs=missed_legs,
    )
    return summary, unhedged_ns


def _parts(profit: Profit) -> dict[str, Decimal]:
    return {
        "realised": e9(profit.realised_e9),
        "locked": e9(profit.locked_e9),
        "open": e9(profit.open_e9),
        "net": e9(profit.marked_e9),
        "flattened": e9(profit.flattened_e9),
    }


def _instrument(account: Account) -> InstrumentSummary:
    info = account.info
    return InstrumentSummary(
        **_parts(account.profit),
        fills=account.fills,
        volume=e9(account.volume_e9),
        volume_currency=info.quote,
        position=e9(account.lots * info.lot_e9),
        position_currency=info.size_currency,
        position_value=e9(account.value_e9),
        settlement=info.settlement,
        last_mid=account.last_mid,
    )


def _pair(account: PairAccount, infos: list[InstrumentInfo]) -> PairSummary:
    return PairSummary(
        instruments=[infos[index].name for index in account.pair if index >= 0],
        trades=account.trades,
        fills=account.fills,
        pnl={currency: ProfitParts(**_parts(profit)) for currency, profit in sorted(account.profits.items())},
    )


def _profits(accounts: list[Account], drawdowns: Drawdowns, costs: HoldingCosts) -> dict[str, ProfitSummary]:
    profits = {}
    for currency in sorted({account.info.settlement for account in accounts}):
        own = [account for account in accounts if account.info.settlement == currency]
        total = Profit()
        for account in own:
            total.add(account.profit)
        cash_e9, value_e9 = sum(account.cash_e9 for account in own), sum(account.value_e9 for account in own)
        fees_e9, charges_e9 = sum(account.fees_e9 for account in own), sum(account.charges_e9 for account in own)
        assert total.marked_e9 == cash_e9 + value_e9 - fees_e9 - charges_e9
        by_kind_e9 = costs.by_kind_e9([account.info.index for account in own])
        profits[currency] = ProfitSummary(
            **_parts(total),
            cash=e9(cash_e9),
            position_value=e9(value_e9),
            fees=e9(fees_e9),
            charges=e9(charges_e9),
            charges_by_kind={kind: e9(amount_e9) for kind, amount_e9 in sorted(by_kind_e9.items())},
            carried=e9(sum(account.carried_e9 for account in own)),
            drawdown=drawdowns.by_currency[currency],
        )
    return profits


def _approximation(
    pnl: Mapping[str, ProfitSummary], accounts: list[Account], drawdowns: Drawdowns
) -> Approximation | None:
    if not pnl:
        return None
    infos = [account.info for account in accounts]
    into = report_currency(infos)
    sums = dict.fromkeys(("realised", "locked", "net", "flattened"), Decimal(0))
    left_out = []
    for currency, profit in pnl.items():
        index = pricing_instrument(currency, into, infos)
        rate = None if index is None else Decimal(1) if index < 0 else accounts[index].last_mid
        if rate is not None:
            for name in sums:
                sums[name] += getattr(profit, name) * rate
        elif profit.net:
            left_out.append(currency)
    rounded = {name: round(amount, 9) for name, amount in sums.items()}
    rest = rounded["net"] - rounded["realised"] - rounded["locked"]
    return Approximation(currency=into, open=rest, **rounded, left_out=left_out, drawdown=drawdowns.converted)
