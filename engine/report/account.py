"""What a run's fills have earned, by instrument and by pair: read from its files, in exact integers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from crosswire.engine.report.columns import read_columns, read_table, to_numpy
from crosswire.engine.report.currency import e9
from crosswire.engine.report.profit import Holdings, Profit, Top, make_holdings, split_values_e9
from crosswire.engine.report.recorder import FILLS, POSITIONS, SIDE_NAMES, TRADES, InstrumentInfo
from crosswire.engine.report.text import time_text
from crosswire.nic.warning import DataWarning
from crosswire.risk.records import unpack_legs
from crosswire.venues.book.book import NO_ASK, NO_BID

Pair = tuple[int, ...]  # market indices, rising: two, or all of a cycle
NO_PAIR: Pair = (-1, -1)  # of fills that no trade has
FILL_COLUMNS = [
    "instrument",
    "side",
    "price_ticks",
    "qty_lots",
    "notional_e9",
    "cash_flow_e9",
    "fee_e9",
    "strategy",
    "trade_id",
    "is_maker",
]
SIDES = {name: side for side, name in SIDE_NAMES.items()}


@dataclass
class Account:
    """One instrument's totals. Money is 1e-9 of the settlement currency."""

    info: InstrumentInfo
    fills: int = 0
    maker_fills: int = 0
    volume_e9: int = 0  # quote currency
    cash_e9: int = 0
    fees_e9: int = 0
    carried_e9: int = 0  # cash less fees that an earlier run had booked: part of both
    charges_e9: int = 0  # paid for holding
    lots: int = 0
    value_e9: int = 0
    profit: Profit = field(default_factory=Profit)
    last_top: Top | None = None  # of its last proven book
    top_ns: int = 0

    def charge(self, amount_e9: int) -> None:
        """Count what holding has cost: it is paid, so it is realised."""
        self.charges_e9 += amount_e9
        self.profit.realised_e9 -= amount_e9
        self.profit.flattened_e9 -= amount_e9

    @property
    def last_mid(self) -> Decimal | None:
        """The last proven middle."""
        if self.last_top is None:
            return None
        tick_e9 = self.info.tick_e9
        return (e9(self.last_top.bid_ticks * tick_e9) + e9(self.last_top.ask_ticks * tick_e9)) / 2


@dataclass
class PairAccount:
    """What the trades of one pair have earned, by settlement currency."""

    pair: Pair
    trades: int
    fills: int
    profits: dict[str, Profit]


@dataclass
class Accounts:
    """Everything that was held and earned."""

    instruments: list[Account]  # by market index
    pairs: list[PairAccount]  # the most traded first, what belongs to none last
    warnings: list[DataWarning]


@dataclass(frozen=True)
class Carried:
    """What an earlier run has left of one instrument; money is 1e-9 of the settlement currency."""

    lots: int
    cash_e9: int
    entry_cash_e9: int  # the part of it that what is held came from
    fees_e9: int


def read_accounts(
    directory: Path, instruments: list[InstrumentInfo], carried: Mapping[int, Carried] | None = None
) -> Accounts:
    """Read the fills and the last prices of a run; `carried`: what it began with, by market index."""
    accounts = [Account(info) for info in instruments]
    whole, by_pair = make_holdings(instruments), _Pairs(directory, instruments)
    last_fill: dict[int, Top] = {}
    for index, held in (carried or {}).items():
        _carry(accounts[index], whole, held)
    for rows in read_columns(directory / FILLS, FILL_COLUMNS):
        for index, name, ticks, lots, notional, flow, fee, strategy, trade, is_maker in zip(
            *(rows[column].tolist() for column in FILL_COLUMNS), strict=True
        ):
            side = SIDES[name]
            account = accounts[index]
            account.fills += 1
            account.maker_fills += is_maker
            account.volume_e9 += notional
            account.cash_e9 += flow
            account.fees_e9 += fee
            last_fill[index] = Top(ticks, ticks)
            whole.take(index, side, ticks, lots, fee)
            by_pair.take((strategy, trade), (index, side, ticks, lots, fee))
    last_ns = _set_tops(accounts, directory / POSITIONS)
    tops = [account.last_top or last_fill.get(account.info.index) for account in accounts]
    for account, leg, top in zip(accounts, whole.legs, tops, strict=True):
        account.lots, account.value_e9 = leg.lots, leg.value_e9(top, leg.lots)
    profits = whole.profits([account.value_e9 for account in accounts], tops)
    for account, profit in zip(accounts, profits, strict=True):
        account.profit = profit
    return Accounts(accounts, by_pair.accounts(whole, tops), _old_marks(accounts, last_ns))


def _carry(account: Account, whole: Holdings, held: Carried) -> None:
    account.cash_e9 = held.cash_e9
    account.fees_e9 = held.fees_e9
    account.carried_e9 = held.cash_e9 - held.fees_e9
    whole.begin(account.info.index, held.lots, held.entry_cash_e9, account.carried_e9)


def instruments_of(buy: int, sell: int, legs: int) -> Pair:
    """List the instruments of an opportunity or a trade."""
    cycle = sorted(instrument for instrument, _side in unpack_legs(legs))
    return tuple(cycle) if cycle else (min(buy, sell), max(buy, sell))


class _Pairs:
    """The fills of each pair's trades as an account of its own, and those of each cycle's."""

    def __init__(self, directory: Path, instruments: list[InstrumentInfo]) -> None:
        self._instruments = instruments
        names = ["strategy", "trade_id", "buy_instrument", "sell_instrument", "legs"]
        trades = (values.tolist() for values in read_table(directory / TRADES, names).values())
        self._pair_of: dict[tuple[str, int], Pair] = {
            (strategy, number): instruments_of(int(buy), int(sell), int(legs))
            for strategy, number, buy, sell, legs in zip(*trades, strict=True)
        }
        self._trades: dict[Pair, int] = {}
        for pair in self._pair_of.values():
            self._trades[pair] = self._trades.get(pair, 0) + 1
        self._holdings: dict[Pair, Holdings] = {}
        self._fills: dict[Pair, int] = {}

    def take(self, trade: tuple[str, int], fill: tuple[int, int, int, int, int]) -> None:
        """Take a fill of a trade."""
        pair = self._pair_of.get(trade, NO_PAIR)
        if pair not in self._holdings:
            self._holdings[pair] = make_holdings(self._instruments)
        self._holdings[pair].take(*fill)
        self._fills[pair] = self._fills.get(pair, 0) + 1

    def accounts(self, whole: Holdings, tops: list[Top | None]) -> list[PairAccount]:
        """Value each pair's part, so that all parts add up to the value of their sum."""
        order = sorted(self._holdings, key=lambda pair: (pair == NO_PAIR, -self._trades.get(pair, 0), pair))
        values: dict[Pair, list[int]] = {pair: [0] * len(whole.legs) for pair in order}
        for leg, top in zip(whole.legs, tops, strict=True):
            index = leg.info.index
            lots = [self._holdings[pair].legs[index].lots for pair in order]
            for pair, value_e9 in zip(order, split_values_e9(leg, top, lots), strict=True):
                values[pair][index] = value_e9
        found = []
        for pair in order:
            sums: dict[str, Profit] = {}
            holdings = self._holdings[pair]
            traded = set(pair) | {leg.info.index for leg in holdings.legs if leg.is_touched}
            for leg, profit in zip(holdings.legs, holdings.profits(values[pair], tops), strict=True):
                if leg.info.index in traded:
                    sums.setdefault(leg.info.settlement, Profit()).add(profit)
            found.append(PairAccount(pair, self._trades.get(pair, 0), self._fills[pair], sums))
        return found


def _set_tops(accounts: list[Account], path: Path) -> int:
    """Set each instrument's last proven top, and return the time of the last sample (0: there was none)."""
    last_ns = 0
    wanted = set(range(len(accounts)))
    for rows in _groups_backwards(path):
        last_ns = max(last_ns, int(rows["time_ns"][-1]))
        priced = rows["valid"] & (rows["bid_ticks"] != NO_BID) & (rows["ask_ticks"] != NO_ASK)
        for index in sorted(wanted):
            places = np.flatnonzero(priced & (rows["instrument"] == index))
            if len(places):
                wanted.discard(index)
                last = {name: int(rows[name][places[-1]]) for name in ("time_ns", "bid_ticks", "ask_ticks")}
                accounts[index].last_top = Top(last["bid_ticks"], last["ask_ticks"])
                accounts[index].top_ns = last["time_ns"]
        if not wanted:
            break
    return last_ns


def _groups_backwards(path: Path) -> Iterator[dict[str, np.ndarray]]:
    import pyarrow.parquet as pq

    names = ["time_ns", "instrument", "valid", "bid_ticks", "ask_ticks"]
    with pq.ParquetFile(path) as file:
        for group in reversed(range(file.num_row_groups)):
            table = file.read_row_group(group, columns=names)
            if table.num_rows:
                yield {name: to_numpy(table.column(name)) for name in names}


def _old_marks(accounts: list[Account], last_ns: int) -> list[DataWarning]:
    """Tell of what is held and was marked at a price from before the last sample."""
    old = [account for account in accounts if account.lots and (account.last_top is None or account.top_ns < last_ns)]
    if not old:
        return []
    first = old[0]
    marked = f"marked at its book of {time_text(first.top_ns)}" if first.top_ns else "marked at its own last fill"
    return [
        DataWarning(
            kind="positions marked at a price that was not the last",
            count=len(old),
            first_place=f"{first.info.name}, {marked}",
            what_to_do="do not trust locked, open and flattened P&L of these: their book was not proven at the end",
        )
    ]
