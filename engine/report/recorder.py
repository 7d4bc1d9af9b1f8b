"""The records of a run as Parquet files that a trader can open.

They are made from the journal, and can be made again. Until it is complete a file is called `<name>.partial`.

Each row has readable columns (venue, instrument, side, UTC time, price and size as float64, which is exact to 15
digits) and beside them the exact integers that they were made from (`*_ticks`, `*_lots`, `*_e9`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.report.buffers import RECORDS_MAX, FillRecords, Records, SampleRecords
from crosswire.engine.report.columns import WRITING
from crosswire.nic.journal.walk import walk_unit
from crosswire.nic.memory.struct import Array, Struct, array, i64
from crosswire.nic.unit.call import call_unit, machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.kinds import Elements
from crosswire.nic.unit.unit import Unit
from crosswire.risk.records import (
    LOG_VALUES,
    FillRecord,
    LogRecord,
    OpportunityRecord,
    OrderRecord,
    SampleRecord,
    TradeRecord,
    ValueRecord,
    unpack_legs,
)
from crosswire.strategies.messages import message_text
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.instrument import Instrument, Kind, Payoff, base_e9, cash_flow_e9, notional_e9, position_value_e9
from crosswire.venues.order import OrderState, RejectReason, TimeInForce
from crosswire.venues.side import BUY, SELL

ROW_GROUP_ROWS = 16_384  # buffered of each file before they are written: about 3 MB

FILLS = "fills.parquet"
ORDERS = "orders.parquet"
POSITIONS = "positions.parquet"
OPPORTUNITIES = "opportunities.parquet"
TRADES = "trades.parquet"
SERIES = "series.parquet"
LOG = "log.parquet"
SUMMARY = "summary.json"
CONFIG = "config.toml"
REPORT = "report.html"
SIDE_NAMES = {BUY: "buy", SELL: "sell"}


@dataclass(frozen=True)
class InstrumentInfo:
    """One traded instrument, as plain data that outlives the engine. Rates and sizes in 1e-9 units (`_e9`)."""

    index: int  # market index
    symbol: str
    venue: str
    underlying: int
    kind: int  # Kind
    payoff: int  # Payoff
    tick_e9: int
    lot_e9: int
    tick_lot_e9: int
    maker_fee_e9: int
    taker_fee_e9: int
    expiry_ns: int
    base: str
    quote: str
    settlement: str

    @property
    def name(self) -> str:
        """As in the configuration: "venue/symbol"."""
        return f"{self.venue}/{self.symbol}"

    @property
    def is_inverse(self) -> bool:
        return self.payoff == Payoff.INVERSE

    @property
    def size_currency(self) -> str:
        """What a quantity is counted in: the base coin, of inverse contracts the quote currency."""
        return self.quote if self.is_inverse else self.base


def _text(characters: Array) -> str:
    return bytes(characters).rstrip(b"\0").decode("ascii", "backslashreplace")


def instrument_info(instrument: Instrument, venue_name: str) -> InstrumentInfo:
    """Describe what is needed to read the records of `instrument`."""
    return InstrumentInfo(
        index=instrument.index,
        symbol=_text(instrument.symbol),
        venue=venue_name,
        underlying=instrument.underlying,
        kind=int(Kind(instrument.kind)),
        payoff=int(Payoff(instrument.payoff)),
        tick_e9=instrument.tick_e9,
        lot_e9=instrument.lot_e9,
        tick_lot_e9=instrument.tick_lot_e9,
        maker_fee_e9=instrument.maker_fee_e9,
        taker_fee_e9=instrument.taker_fee_e9,
        expiry_ns=instrument.expiry_ns,
        base=_text(instrument.base),
        quote=_text(instrument.quote),
        settlement=_text(instrument.settlement),
    )


def make_instrument(info: InstrumentInfo) -> Instrument:
    """Make the struct again from the plain data, for the conversions of `venues.instrument`."""
    instrument = Instrument()
    _fill_instrument(instrument, info)
    return instrument


def _fill_instrument(instrument: Instrument, info: InstrumentInfo) -> None:
    numbers = ("index", "underlying", "kind", "payoff", "tick_e9", "lot_e9", "tick_lot_e9")
    for name in (*numbers, "maker_fee_e9", "taker_fee_e9", "expiry_ns"):
        setattr(instrument, name, getattr(info, name))
    for name in ("symbol", "base", "quote", "settlement"):
        characters = getattr(instrument, name).numpy()
        encoded = getattr(info, name).encode()[: len(characters)]
        characters[:] = np.frombuffer(encoded.ljust(len(characters), b"\0"), np.uint8)


@dataclass(frozen=True)
class RecordNames:
    """What the numbers in a record are called; a number without a name is written as its digits."""

    vetoes: Mapping[int, str] = field(default_factory=dict)  # OrderRecord.reason of a vetoed order
    blocked: Mapping[int, str] = field(default_factory=dict)  # OpportunityRecord.blocked_by
    outcomes: Mapping[int, str] = field(default_factory=dict)  # TradeRecord.outcome
    strategies: Mapping[int, str] = field(default_factory=dict)  # `strategy` of every record that has one
    series: Mapping[int, list[str]] = field(default_factory=dict)  # ValueRecord.series, by strategy
    messages: Mapping[int, list[str]] = field(default_factory=dict)  # LogRecord.message, by strategy


def names_of(numbers: type[IntEnum]) -> dict[int, str]:
    """Convert an enumeration to a table of lower-case names."""
    return {int(member): member.name.lower() for member in numbers}


class Mark(Struct):
    """The last trusted prices of one instrument; before its first valid sample those of its last fill."""

    known: i64  # 0 nothing, 1 a fill, 2 a valid book
    bid_ticks: i64
    ask_ticks: i64


class FillValues(Struct):
    """What a fill was worth."""

    notional_e9: i64  # quote currency
    cash_flow_e9: i64  # settlement currency, fees apart


class SampleValues(Struct):
    """What a sampled position was worth."""

    value_e9: i64  # settlement currency: mean of its value at the last valid bid and ask
    base_e9: i64  # delta in the base coin at the same prices, signed


@compiled
def value_fills(fills: FillRecords, instruments: Array, marks: Array, values: Array) -> None:
    """Fill `values` (FillValues), one entry a record."""
    for position in range(fills.count):
        fill = fills.items[position]
        instrument = instruments[fill.instrument]
        value = values[position]
        value.notional_e9 = notional_e9(instrument, fill.price_ticks, fill.qty_lots)
        value.cash_flow_e9 = cash_flow_e9(instrument, fill.side, fill.price_ticks, fill.qty_lots)
        mark = marks[fill.instrument]
        if mark.known < 2:
            mark.known = 1
            mark.bid_ticks = fill.price_ticks
            mark.ask_ticks = fill.price_ticks


@compiled
def value_samples(samples: SampleRecords, instruments: Array, marks: Array, values: Array) -> None:
    """Fill `values` (SampleValues), one entry a record. A flat position is worth 0, and so is one never priced."""
    for position in range(samples.count):
        sample = samples.items[position]
        instrument = instruments[sample.instrument]
        mark = marks[sample.instrument]
        if sample.valid != 0 and sample.bid_ticks != NO_BID and sample.ask_ticks != NO_ASK:
            mark.known = 2
            mark.bid_ticks = sample.bid_ticks
            mark.ask_ticks = sample.ask_ticks
        value = values[position]
        value.value_e9 = 0
        value.base_e9 = 0
        lots = sample.position_lots
        if lots != 0 and mark.known != 0:
            at_bid = position_value_e9(instrument, mark.bid_ticks, lots)
            at_ask = position_value_e9(instrument, mark.ask_ticks, lots)
            value.value_e9 = (at_bid + at_ask) // 2
            middle = (mark.bid_ticks + mark.ask_ticks) // 2
            value.base_e9 = base_e9(instrument, middle, lots) if lots > 0 else -base_e9(instrument, middle, -lots)


VALUE_FILLS = machine_code(value_fills)
VALUE_SAMPLES = machine_code(value_samples)


def recorder_units() -> list[Unit]:
    """List the units of what is computed between the journal and a run's files."""

    def arrays(values: type[Struct]) -> tuple[Elements, ...]:
        return tuple(Elements(each, "little") for each in (Instrument, Mark, values))

    return [
        walk_unit(),
        call_unit(value_fills, (FillRecords, *arrays(FillValues))),
        call_unit(value_samples, (SampleRecords, *arrays(SampleValues))),
    ]


class Recorder:
    """Writes what the record buffers hold to the files of one run, in bounded memory."""

    def __init__(self, directory: Path, instruments: list[InstrumentInfo], names: RecordNames | None = None) -> None:
        """Take the run's directory; files that an earlier call has made there are replaced when they are complete."""
        for position, info in enumerate(instruments):
            if info.index != position:
                raise ValueError(f"{info.name} has market index {info.index}, but is number {position} in the list")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

        self._instruments = Instrument.array(max(1, len(instruments)))
        for info in instruments:
            _fill_instrument(self._instruments[info.index], info)
        self._marks = array(Mark, len(self._instruments))
        self._fill_values = array(FillValues, RECORDS_MAX)
        self._sample_values = array(SampleValues, RECORDS_MAX)

        columns = _Columns(instruments, names or RecordNames())
        self._fills = _File(self.directory / FILLS, columns.fills, (FillRecord, FillValues))
        self._orders = _File(self.directory / ORDERS, columns.orders, (OrderRecord,))
        self._positions = _File(self.directory / POSITIONS, columns.positions, (SampleRecord, SampleValues))
        self._opportunities = _File(self.directory / OPPORTUNITIES, columns.opportunities, (OpportunityRecord,))
        self._trades = _File(self.directory / TRADES, columns.trades, (TradeRecord,))
        self._values = _File(self.directory / SERIES, columns.values, (ValueRecord,))
        self._lines = _File(self.directory / LOG, columns.lines, (LogRecord,))

    def drain(self, records: Records) -> None:
        """Take everything that `records` holds and leave it empty."""
        VALUE_FILLS(records.fills, self._instruments, self._marks, self._fill_values)
        self._fills.take(records.fills, self._fill_values)
        VALUE_SAMPLES(records.samples, self._instruments, self._marks, self._sample_values)
        self._positions.take(records.samples, self._sample_values)
        self._orders.take(records.orders)
        self._opportunities.take(records.opportunities)
        self._trades.take(records.trades)
        self._values.take(records.values)
        self._lines.take(records.lines)

    def close(self) -> None:
        """Finish the Parquet files; a kind without records leaves a file with columns and no rows."""
        files = (self._fills, self._orders, self._positions, self._opportunities, self._trades, self._values)
        for file in (*files, self._lines):
            file.close()


Rows = dict[str, np.ndarray]  # int64 arrays of one length, by the records' field names


class _File:
    """One Parquet file, written a row group at a time."""

    def __init__(
        self, path: Path, columns: Callable[[Rows], dict[str, Any]], structs: tuple[type[Struct], ...]
    ) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._columns = columns
        self._fields = [name for struct in structs for name in struct.fields]
        self._pending: list[Rows] = []
        self._pending_rows = 0
        self._writer: Any = None

    def take(self, records: Any, values: Array | None = None) -> None:
        count = records.count
        if count == 0:
            return
        views = [part.numpy(count) for part in (records.items, values) if part is not None]
        rows = {name: view[name].copy() for view in views for name in view.dtype.names}
        self._pending.append(rows)
        self._pending_rows += count
        records.count = 0
        if self._pending_rows >= ROW_GROUP_ROWS:
            self._write()

    def close(self) -> None:
        if self._pending or self._writer is None:
            self._write()
        self._writer.close()
        self._partial.replace(self._path)

    def _write(self) -> None:
        # Imported here: the first write comes long after the engine's start, which this would delay by 0.1 to 0.2 s.
        import pyarrow as pa
        import pyarrow.parquet as pq

        pending = self._pending or [{name: np.empty(0, np.int64) for name in self._fields}]
        rows = {name: np.concatenate([part[name] for part in pending]) for name in self._fields}
        readable = self._columns(rows)
        table = pa.table(readable | {name: values for name, values in rows.items() if name not in readable})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial, table.schema, **WRITING)
        self._writer.write_table(table)
        self._pending.clear()
        self._pending_rows = 0


class _Columns:
    """Rows of integers as columns that can be read."""

    def __init__(self, instruments: list[InstrumentInfo], names: RecordNames) -> None:
        self._infos = instruments
        self._names = names
        self._labels = {info.index: info.name for info in instruments}

    def fills(self, rows: Rows) -> dict[str, Any]:
        price, tick = rows["price_ticks"], self._of(rows, "tick_e9")
        decision = _planned_ticks(rows)
        worse = np.where(rows["side"] == BUY, price - decision, decision - price)
        slippage_bps = np.full(len(price), np.nan)
        np.divide(worse * 1e4, decision, out=slippage_bps, where=decision > 0)
        return {
            "time": _time(rows["time_ns"]),
            "exchange_time": _time(rows["exchange_time_ns"]),
            **self._instrument(rows),
            "side": _named(rows["side"], SIDE_NAMES),
            "price": _scaled(price, tick),
            "size": _scaled(rows["qty_lots"], self._of(rows, "lot_e9")),
            "size_currency": self._called(rows, "size_currency"),
            "notional": _scaled(rows["notional_e9"]),
            "decision_price": _or_null(_scaled(decision, tick), decision == 0),
            "slippage_bps": _or_null(slippage_bps, decision <= 0),  # positive is worse than decided
            "fee": _scaled(rows["fee_e9"]),
            "fee_currency": self._called(rows, "settlement"),
            "liquidity": _named(rows["is_maker"], {0: "taker", 1: "maker"}),
            "position": _scaled(rows["position_lots"], self._of(rows, "lot_e9")),
            "strategy": self._strategy(rows),
            "strategy_position": _scaled(rows["strategy_position_lots"], self._of(rows, "lot_e9")),
        }

    def orders(self, rows: Rows) -> dict[str, Any]:
        tick, lot = self._of(rows, "tick_e9"), self._of(rows, "lot_e9")
        return {
            "created": _time(rows["created_ns"]),
            "triggered": _time(rows["trigger_ns"]),
            "acknowledged": _time(rows["acked_ns"]),
            "closed": _time(rows["closed_ns"]),
            **self._instrument(rows),
            "side": _named(rows["side"], SIDE_NAMES),
            "time_in_force": _named(rows["time_in_force"], names_of(TimeInForce)),
            "price": _scaled(rows["price_ticks"], tick),
            "size": _scaled(rows["qty_lots"], lot),
            "filled": _scaled(rows["filled_lots"], lot),
            "size_currency": self._called(rows, "size_currency"),
            "state": _named(rows["state"], names_of(OrderState)),
            "reason": self._reasons(rows["state"], rows["reason"]),
            "strategy": self._strategy(rows),
        }

    def positions(self, rows: Rows) -> dict[str, Any]:
        tick, lot = self._of(rows, "tick_e9"), self._of(rows, "lot_e9")
        no_bid = (rows["valid"] == 0) | (rows["bid_ticks"] == NO_BID)
        no_ask = (rows["valid"] == 0) | (rows["ask_ticks"] == NO_ASK)
        return {
            "time": _time(rows["time_ns"]),
            **self._instrument(rows),
            "valid": rows["valid"] != 0,
            "bid": _or_null(_scaled(rows["bid_ticks"], tick), no_bid),
            "ask": _or_null(_scaled(rows["ask_ticks"], tick), no_ask),
            "position": _scaled(rows["position_lots"], lot),
            "size_currency": self._called(rows, "size_currency"),
            "position_base": _scaled(rows["base_e9"]),
            "cash": _scaled(rows["cash_e9"]),
            "fees": _scaled(rows["fees_e9"]),
            "position_value": _scaled(rows["value_e9"]),
            "currency": self._called(rows, "settlement"),
        }

    def opportunities(self, rows: Rows) -> dict[str, Any]:
        return {
            "start": _time(rows["start_ns"]),
            "end": _time(rows["end_ns"]),
            "duration_ms": (rows["end_ns"] - rows["start_ns"]) / 1e6,
            **self._legs(rows),
            **_readable_e9(rows),
            "blocked_by": _named(rows["blocked_by"], {0: "", **self._names.blocked}),
            "strategy": self._strategy(rows),
        }

    def trades(self, rows: Rows) -> dict[str, Any]:
        return {
            "start": _time(rows["start_ns"]),
            "end": _time(rows["end_ns"]),
            **self._legs(rows),
            **_readable_e9(rows),
            "unhedged_ms": rows["unhedged_ns"] / 1e6,
            "outcome": _named(rows["outcome"], self._names.outcomes),
            "strategy": self._strategy(rows),
        }

    def values(self, rows: Rows) -> dict[str, Any]:
        named = {
            (strategy << 32) + place: name
            for strategy, names in self._names.series.items()
            for place, name in enumerate(names)
        }
        return {
            "time": _time(rows["time_ns"]),
            "series": _named((rows["strategy"] << 32) + rows["series"], named),
            "value": _scaled(rows["value_e9"]),
            "strategy": self._strategy(rows),
        }

    def lines(self, rows: Rows) -> dict[str, Any]:
        names = [info.name for info in self._infos]
        said = zip(*(rows[name].tolist() for name in ("strategy", "message", *LOG_VALUES)), strict=True)
        return {
            "time": _time(rows["time_ns"]),
            "strategy": self._strategy(rows),
            "text": _texts(
                message_text(self._names.messages.get(strategy, []), message, values, names)
                for strategy, message, *values in said
            ),
        }

    def _strategy(self, rows: Rows) -> Any:
        return _named(rows["strategy"], self._names.strategies)

    def _of(self, rows: Rows, attribute: str) -> np.ndarray:
        """Look up an integer of each row's instrument."""
        return np.array([getattr(info, attribute) for info in self._infos], np.int64)[rows["instrument"]]

    def _called(self, rows: Rows, attribute: str) -> Any:
        return _named(rows["instrument"], {info.index: getattr(info, attribute) for info in self._infos})

    def _instrument(self, rows: Rows) -> dict[str, Any]:
        return {"venue": self._called(rows, "venue"), "symbol": self._called(rows, "symbol")}

    def _legs(self, rows: Rows) -> dict[str, Any]:
        return {
            "buy": _named(rows["buy_instrument"], self._labels),
            "sell": _named(rows["sell_instrument"], self._labels),
            "cycle": _named(rows["legs"], {packed: self._cycle(packed) for packed in np.unique(rows["legs"]).tolist()}),
        }

    def _cycle(self, packed: int) -> str:
        """Write the legs of a cycle of more than two, "" of any other."""
        return ", ".join(
            f"{SIDE_NAMES[side]} {self._labels.get(instrument, instrument)}" for instrument, side in unpack_legs(packed)
        )

    def _reasons(self, state: np.ndarray, reason: np.ndarray) -> Any:
        """Name the reasons of vetoes and rejects, which are numbered apart: the state says which list to use."""
        named = {(OrderState.VETOED << 32) + number: name for number, name in self._names.vetoes.items()} | {
            (OrderState.REJECTED << 32) + number: name for number, name in names_of(RejectReason).items()
        }
        refused = (state == OrderState.VETOED) | (state == OrderState.REJECTED)
        return _named(np.where(refused, (state << 32) + reason, 0), {0: "", **named})


def _time(time_ns: np.ndarray) -> Any:
    """Convert to UTC times; 0, which means never, becomes null."""
    import pyarrow as pa

    return pa.array(time_ns.view("datetime64[ns]"), pa.timestamp("ns", "UTC"), mask=time_ns == 0)


def _planned_ticks(rows: Rows) -> np.ndarray:
    """Average the prices that each fill's lots were planned at; what has no plan, at the price decided on."""
    lots, decision = rows["qty_lots"], rows["decision_ticks"].astype(np.float64)
    return np.divide(rows["planned_tick_lots"], lots, out=decision, where=(rows["planned_tick_lots"] != 0) & (lots > 0))


def _named(numbers: np.ndarray, names: Mapping[int, str]) -> Any:
    """Make a dictionary column."""
    import pyarrow as pa

    distinct, places = np.unique(numbers, return_inverse=True)
    texts = [names.get(int(number), str(number & 0xFFFF_FFFF)) for number in distinct]
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(texts, pa.string()))


def _texts(texts: Iterable[str]) -> Any:
    import pyarrow as pa

    return pa.array(texts, pa.string())


def _or_null(values: np.ndarray, missing: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(values, mask=missing)


def _readable_e9(rows: Rows) -> dict[str, Any]:
    return {name.removesuffix("_e9"): _scaled(values) for name, values in rows.items() if name.endswith("_e9")}


def _scaled(counts: np.ndarray, unit_e9: np.ndarray | int = 1) -> np.ndarray:
    # Not in int64: an order vetoed for its absurd price must not look sane by wrapping round.
    return counts.astype(np.float64) * unit_e9 / 1e9
