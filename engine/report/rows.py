"""One opportunity, trade or order of a run, with what belongs to it: found in the run's Parquet files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crosswire.engine.config import ConfigError
from crosswire.engine.report.columns import check_columns, opened
from crosswire.engine.report.recorder import FILLS, OPPORTUNITIES, ORDERS, TRADES
from crosswire.engine.report.summary import RunSummary, read_summary
from crosswire.engine.report.text import duration_text, precise_time_text
from crosswire.risk.records import unpack_legs

KINDS = {"opportunity": OPPORTUNITIES, "trade": TRADES, "order": ORDERS}
Kind = Literal["opportunity", "trade", "order"]
Row = dict[str, Any]
INSTRUMENT = ["venue", "symbol", "size_currency"]
BELONGING = ["client_order_id", "trade_id", "strategy"]
LEGS = ["strategy", "buy", "sell", "buy_instrument", "sell_instrument", "legs", "start_ns", "end_ns"]
COLUMNS = {  # that are read by name; all are shown
    OPPORTUNITIES: [*LEGS, "peak_ns"],
    TRADES: [*LEGS, "trade_id"],
    ORDERS: [
        *INSTRUMENT,
        *BELONGING,
        "side",
        "size",
        "price",
        "time_in_force",
        "state",
        "reason",
        "filled",
        "trigger_ns",
        "created_ns",
        "acked_ns",
        "closed_ns",
    ],
    FILLS: [
        *INSTRUMENT,
        *BELONGING,
        "size",
        "price",
        "fee",
        "fee_currency",
        "slippage_bps",
        "time_ns",
        "exchange_time_ns",
    ],
}
TIMES = ("start_ns", "peak_ns", "end_ns", "created_ns", "trigger_ns", "acked_ns", "closed_ns", "time_ns")


@dataclass
class Found:
    """A row, what belongs to it, and the moments at which it is worth looking."""

    kind: Kind
    number: int  # of the row in its file, from 1
    row: Row
    orders: list[Row]
    fills: list[Row]
    instruments: list[str]  # "venue/symbol"
    moments: dict[str, int]  # name -> ns
    quotes: dict[str, str]  # the currency of an instrument's prices, by "venue/symbol"
    base: str  # coin that the sizes of an opportunity or a trade are in, and that edges are for one of


class Rows:
    """A run's opportunities, trades, orders and fills, read once."""

    def __init__(self, folder: Path) -> None:
        """ConfigError with one line: it is no finished run."""
        self.summary = finished_summary(folder)
        self._folder = folder
        self._tables: dict[str, list[Row]] = {}

    def table(self, name: str) -> list[Row]:
        """Read a file's rows, times as ns."""
        if name not in self._tables:
            path = self._folder / name
            with opened(path) as file:
                check_columns(path, file, COLUMNS[name])
                columns = [each.name for each in file.schema_arrow if not str(each.type).startswith("timestamp")]
                self._tables[name] = file.read(columns=columns).to_pylist()
        return self._tables[name]

    def find(self, kind: str, number: int) -> Found:
        """Find a row by its number from 1, an order by its id as well. ConfigError: there is none."""
        if kind not in KINDS:
            raise ConfigError(f"{kind}: must be one of {', '.join(KINDS)}")
        table = self.table(KINDS[kind])
        if kind == "order":
            by_id = [place for place, row in enumerate(table, 1) if row["client_order_id"] == number]
            number = by_id[0] if by_id else number
        if not 1 <= number <= len(table):
            raise ConfigError(f"{kind} {number}: there is none; this run has {len(table)}, counted from 1")
        row = table[number - 1]
        finders = {"opportunity": self._opportunity, "trade": self._trade, "order": self._order}
        return finders[kind](number, row)

    def _found(
        self,
        kind: Kind,
        number: int,
        row: Row,
        belonging: tuple[list[Row], list[Row]],
        names: list[str],
        moments: dict[str, int],
    ) -> Found:
        infos = {info.name: info for info in self.summary.definitions}
        if strange := [name for name in names if name not in infos]:
            raise ConfigError(
                f"{self._folder}/summary.json has no instrument {strange[0]}, but the run;"
                f" crosswire report {self._folder} makes it anew"
            )
        quotes = {name: info.quote for name, info in infos.items()}
        return Found(kind, number, row, *belonging, names, _seen(moments), quotes, infos[names[0]].base)

    def _belonging(self, strategy: str, trade_ids: set[int]) -> tuple[list[Row], list[Row]]:
        orders, fills = (
            [row for row in self.table(name) if row["strategy"] == strategy and row["trade_id"] in trade_ids]
            for name in (ORDERS, FILLS)
        )
        return orders, fills

    def _opportunity(self, number: int, row: Row) -> Found:
        same = [
            trade["trade_id"]
            for trade in self.table(TRADES)
            if all(trade[key] == row[key] for key in ("strategy", "buy_instrument", "sell_instrument", "legs"))
            and row["start_ns"] <= trade["start_ns"] <= row["end_ns"]
        ]
        moments = {"just before": row["start_ns"] - 1, "at its start": row["start_ns"], "at its peak": row["peak_ns"]}
        moments["at its end"] = row["end_ns"]
        belonging = self._belonging(row["strategy"], set(same))
        names = [self.summary.definitions[instrument].name for instrument, _side in unpack_legs(row["legs"])]
        return self._found("opportunity", number, row, belonging, names or [row["buy"], row["sell"]], moments)

    def _trade(self, number: int, row: Row) -> Found:
        orders, fills = self._belonging(row["strategy"], {row["trade_id"]})
        names = list(dict.fromkeys([row["buy"], row["sell"], *(_name(order) for order in orders)]))
        moments = {"just before": row["start_ns"] - 1, "at its start": row["start_ns"], "at its end": row["end_ns"]}
        return self._found("trade", number, row, (orders, fills), names, moments)

    def _order(self, number: int, row: Row) -> Found:
        fills = [fill for fill in self.table(FILLS) if fill["client_order_id"] == row["client_order_id"]]
        moments = {"just before": (row["trigger_ns"] or row["created_ns"]) - 1, "when it was sent": row["created_ns"]}
        moments |= {"when it was acknowledged": row["acked_ns"], "when it was closed": row["closed_ns"]}
        return self._found("order", number, row, ([row], fills), [_name(row)], moments)


def finished_summary(folder: Path) -> RunSummary:
    """Read a run's summary. ConfigError with one line: there is none, or an older version wrote it."""
    import msgspec

    try:
        return read_summary(folder)
    except (FileNotFoundError, NotADirectoryError):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: there is no such run folder") from None
        raise ConfigError(
            f"{folder}: has no summary.json; if it is a run's folder, crosswire report {folder} makes it"
        ) from None
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{folder}/summary.json can't be read ({error}); crosswire report {folder} makes it anew"
        ) from None


def _name(row: Row) -> str:
    return f"{row['venue']}/{row['symbol']}"


def _seen(moments: dict[str, int]) -> dict[str, int]:
    """Leave out what never was, and what is at the same time as one before."""
    seen: dict[str, int] = {}
    for name, time_ns in moments.items():
        if time_ns > 0 and time_ns not in seen.values():
            seen[name] = time_ns
    return seen


def found_lines(found: Found) -> list[str]:
    """Write a row, its orders with their latencies, and its fills."""
    row = found.row
    lines = [f"{found.kind} {found.number}"]
    if found.kind != "order":
        lines.append(
            f"  edges and values in {found.quotes[row['buy']]}, edges for one {found.base}; sizes in {found.base}"
        )
    for name, value in row.items():
        is_time = name in TIMES and value
        lines.append(f"  {name}: {precise_time_text(value) if is_time else value}")
    for order in found.orders:
        lines.append(
            f"order {order['client_order_id']}: {order['side']} {order['size']:.10g} {order['size_currency']} of"
            f" {_name(order)} at {order['price']:.10g} {found.quotes[_name(order)]} {order['time_in_force']},"
            f" {order['state']} {order['reason']}".rstrip()
        )
        lines.append(f"  {latencies_text(order)}; filled {order['filled']:.10g} {order['size_currency']}")
        for fill in found.fills:
            if fill["client_order_id"] == order["client_order_id"]:
                lines.append(f"  {_fill_text(fill, found.quotes[_name(fill)])}")
    return lines


def latencies_text(order: Row) -> str:
    """Write an order's times one after the other, each by how long after the last."""
    steps = [("trigger received", "trigger_ns"), ("sent", "created_ns"), ("acknowledged", "acked_ns")]
    text, before_ns = [], 0
    for name, key in [*steps, ("closed", "closed_ns")]:
        time_ns = order[key]
        if time_ns:
            after = f" after {duration_text(time_ns - before_ns)}" if before_ns else f" {precise_time_text(time_ns)}"
            text.append(name + after)
            before_ns = time_ns
    return ", ".join(text) or "never sent"


def _fill_text(fill: Row, quote: str) -> str:
    bps = fill["slippage_bps"]
    slippage = "" if bps is None else f", {abs(bps):.3f} bps {'worse' if bps > 0 else 'better'} than planned"
    slippage = slippage if bps != 0 else ", as planned"
    heard_ns = fill["time_ns"] - fill["exchange_time_ns"]
    return (
        f"fill {fill['size']:.10g} {fill['size_currency']} at {fill['price']:.10g} {quote}, fee {fill['fee']:.10g}"
        f" {fill['fee_currency']}{slippage}; at the exchange {precise_time_text(fill['exchange_time_ns'])}, heard"
        f" {duration_text(heard_ns)} later"
    )
