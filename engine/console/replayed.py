"""One run as the page shows it: all that was known at one turn, from the tape, the Parquet files, the journal."""

import bisect
from pathlib import Path
from typing import Any

from crosswire.engine.console.again import not_as_it_was
from crosswire.engine.console.edges import edge_of, edge_series
from crosswire.engine.console.show import fixed, plain, price_text, since_text, size_text
from crosswire.engine.console.window import Recording, Window
from crosswire.engine.errors import ExplainError
from crosswire.engine.journal.description import Description
from crosswire.engine.journal.show import SHOWN, Filter, line_of, show_records
from crosswire.engine.report.recorder import FILLS, OPPORTUNITIES, ORDERS, TRADES, make_instrument
from crosswire.engine.report.rows import Row, Rows
from crosswire.engine.report.text import duration_text, precise_time_text
from crosswire.nic.warning import DataWarning
from crosswire.risk.records import RecordKind
from crosswire.venues.instrument import position_value_e9

LINES_MAX = 200_000  # of a journal that are kept to be shown
LINES_SHOWN = 40
ROWS_SHOWN = 40  # of opportunities and of orders, the last up to the turn
MONEY_DIGITS = 4
LEFT_OUT = {RecordKind.SAMPLE, RecordKind.VALUE, RecordKind.IDS}


class ReplayedRun:
    """A finished run, made again."""

    def __init__(self, folder: Path, description: Description) -> None:
        """ConfigError: it has no files to be shown."""
        self.folder, self.description = folder, description
        self.rows = Rows(folder)
        self.recording = Recording(folder, description)
        self.infos = self.rows.summary.definitions
        self.instruments = [make_instrument(info) for info in self.infos]
        self.index_of = {info.name: info.index for info in self.infos}
        self.warnings: list[DataWarning] = list(self.rows.summary.warnings)
        self.lines: list[tuple[int, str]] = []
        self._event_times: list[int] = []

    def begin(self) -> None:
        """Make the run again and read its journal. Raises as `record_again`."""
        self.recording.begin()
        if self.recording.rows == 0:
            raise ExplainError(f"{self.folder}: nothing came to its loop, so there is nothing to look through")
        self.warnings += not_as_it_was(self.folder, self.recording.digest, self.rows.summary.digest)
        kinds, sessions = frozenset(SHOWN - LEFT_OUT), dict[str, str]()
        for record in show_records(self.folder, Filter(kinds=kinds)):
            if len(self.lines) == LINES_MAX:
                what = f"see the rest with crosswire journal {self.folder}"
                place = f"record {record['sequence']}"
                self.warnings.append(
                    DataWarning(kind="journals longer than is shown", count=1, first_place=place, what_to_do=what)
                )
                break
            if is_news(record, sessions):
                self.lines.append((record["time_ns"], line_of(record)))
        self.lines.sort(key=lambda line: line[0])
        begun = {row["start_ns"] for row in self.rows.table(OPPORTUNITIES)}
        self._event_times = sorted(begun | {time_ns for time_ns, _ in self.lines})

    def facts(self) -> dict[str, Any]:
        """Tell what does not change with the turn."""
        summary = self.rows.summary
        return plain({
            "name": self.description.name,
            "kind": self.description.kind,
            "folder": str(self.folder),
            "turns": self.recording.rows,
            "first_ns": summary.first_time_ns,
            "last_ns": summary.last_time_ns,
            "instruments": [
                {"name": info.name, "quote": info.quote, "size_currency": info.size_currency, "base": info.base,
                 "underlying": info.underlying}
                for info in self.infos
            ],
            "opportunities": len(self.rows.table(OPPORTUNITIES)),
            "orders": len(self.rows.table(ORDERS)),
            "warnings": [str(each) for each in self.warnings],
            "pair": self.default_pair(),
        })  # fmt: skip

    def default_pair(self) -> list[int]:
        """Choose the two books to begin with: those of the first opportunity, else the first two."""
        for row in self.rows.table(OPPORTUNITIES):
            return [row["buy_instrument"], row["sell_instrument"]]
        return [0, min(1, len(self.infos) - 1)]

    def find(self, kind: str, number: int) -> dict[str, Any]:
        """Find where an opportunity or order began: its turn, and the books to look at. ConfigError: there is none."""
        found = self.rows.find(kind, number)
        row = found.row
        if kind == "order":
            begun_ns, legs = row["created_ns"], self.legs_of(row)
        else:
            begun_ns, legs = row["start_ns"], [row["buy_instrument"], row["sell_instrument"]]
        return {"turn": self.turn_at(begun_ns), "pair": legs}

    def legs_of(self, order: Row) -> list[int]:
        """Find the two books that an order is about: its trade's, else its own and another."""
        for trade in self.rows.table(TRADES):
            if order["trade_id"] and (trade["trade_id"], trade["strategy"]) == (order["trade_id"], order["strategy"]):
                return [trade["buy_instrument"], trade["sell_instrument"]]
        return [order["instrument"], next((each.index for each in self.infos if each.index != order["instrument"]), 0)]

    def turn_at(self, time_ns: int) -> int:
        """Find the last turn up to a time, the first one before all."""
        return self.recording.row_at(time_ns) + 1

    def turn_of_frame(self, frame: int) -> int:
        """Find the turn that took a frame, counted from 1 over all venues and answers."""
        return self.recording.row_of_frame(frame) + 1

    def event_turn(self, turn: int, step: int) -> int:
        """Find the next turn (`step` 1), or the one before (-1), of which the journal or an opportunity tells."""
        row = self.bounded(turn)
        window = self.recording.at(row)
        now_ns = int(window.turns["time_ns"][row - window.first])
        behind, before = bisect.bisect_right(self._event_times, now_ns), bisect.bisect_left(self._event_times, now_ns)
        place = behind if step > 0 else before - 1
        while 0 <= place < len(self._event_times):
            found = self.recording.row_at(self._event_times[place])
            if (found - row) * step > 0:
                return found + 1
            place += step
        return row + 1

    def bounded(self, turn: int) -> int:
        """Give the row of the tape of the nearest turn that there is; turns are counted from 1."""
        return max(0, min(turn - 1, self.recording.rows - 1))

    def at(self, turn: int, pair: list[int]) -> dict[str, Any]:
        """Tell all that was known once a turn was over."""
        row = self.bounded(turn)
        window = self.recording.at(row)
        seen = window.turns[row - window.first]
        time_ns = int(seen["time_ns"])
        return plain({
            "turn": row + 1,
            "time_ns": str(time_ns),
            "time": precise_time_text(time_ns),
            "frames": int(seen["frames"]),
            "orders_sent": int(seen["orders_sent"]),
            "fills": int(seen["fills"]),
            "books": [self.book(window, row, time_ns, each) for each in pair],
            "edges": self.edges(window, row, pair),
            "positions": self.positions(window, row),
            "profit": self.profit(window, row),
            "open_orders": self.open_orders(window, row, time_ns),
            "orders": self.orders_until(time_ns),
            "opportunities": self.opportunities_until(time_ns),
            "lines": self.lines_until(time_ns),
            "latencies": self.latencies(window, row, seen),
        })  # fmt: skip

    def book(self, window: Window, row: int, time_ns: int, instrument: int) -> dict[str, Any]:
        """Show one book."""
        info, book = self.infos[instrument], window.book_at(instrument, row)
        shown = {"instrument": instrument, "name": info.name, "quote": info.quote, "size_currency": info.size_currency}
        if book is None or not book["valid"]:
            return shown | {"valid": False, "heard": "", "bids": [], "asks": []}
        sides = {
            f"{side}s": [
                [price_text(info, int(ticks)), size_text(info, int(lots))]
                for ticks, lots in zip(
                    book[f"{side}_ticks"][: book[f"{side}s"]], book[f"{side}_lots"][: book[f"{side}s"]], strict=True
                )
            ]
            for side in ("bid", "ask")
        }
        age = since_text(int(book["receive_time_ns"]), time_ns)
        heard = "changed in this turn" if book["row"] == row else f"last heard {age} before"
        return shown | {"valid": True, "heard": heard} | sides

    def edges(self, window: Window, row: int, pair: list[int]) -> list[dict[str, Any]]:
        """Show what buying one of two and selling the other brings, both ways."""
        if len(pair) < 2 or pair[0] == pair[1]:
            return []
        shown = []
        for buy, sell in (pair, pair[::-1]):
            edge = edge_of(self.instruments, buy, sell, window.book_at(buy, row), window.book_at(sell, row))
            shown.append({
                "buy": self.infos[buy].name,
                "sell": self.infos[sell].name,
                "quote": self.infos[buy].quote,
                "base": self.infos[buy].base,
                "edge": "" if edge is None else fixed(edge.edge_e9, MONEY_DIGITS, signed=True),
                "edge_e9": None if edge is None else edge.edge_e9,
                "bps": "" if edge is None else f"{edge.bps:+.3f}",
            })  # fmt: skip
        return shown

    def positions(self, window: Window, row: int) -> list[dict[str, Any]]:
        """Show what is held, and what it has earned by the middle of the book."""
        shown = []
        for info in self.infos:
            held = window.position_at(info.index, row)
            lots = 0 if held is None else int(held["position_lots"])
            earned_e9 = self.earned_e9(window, row, info.index)
            shown.append({
                "name": info.name,
                "position": size_text(info, lots, signed=True),
                "size_currency": info.size_currency,
                "cash": "" if held is None else fixed(int(held["cash_e9"]), MONEY_DIGITS, signed=True),
                "fees": "" if held is None else fixed(int(held["fees_e9"]), MONEY_DIGITS),
                "profit": "not known" if earned_e9 is None else fixed(earned_e9, MONEY_DIGITS, signed=True),
                "currency": info.settlement,
                "warnings": [str(each) for each in self.warnings if info.name in each.first_place],
            })  # fmt: skip
        return shown

    def earned_e9(self, window: Window, row: int, instrument: int) -> int | None:
        """Cash, less fees, and what is held at the mean of bid and ask; None: held, and its book is not proven."""
        held, book = window.position_at(instrument, row), window.book_at(instrument, row)
        if held is None:
            return 0
        value_e9, lots = 0, int(held["position_lots"])
        if lots:
            if book is None or not book["valid"] or not book["bids"] or not book["asks"]:
                return None
            terms = self.instruments[instrument]
            ends = (int(book["bid_ticks"][0]), int(book["ask_ticks"][0]))
            value_e9 = sum(position_value_e9(terms, ticks, lots) for ticks in ends) // 2
        return int(held["cash_e9"]) - int(held["fees_e9"]) + value_e9

    def profit(self, window: Window, row: int) -> list[dict[str, str]]:
        """Sum what was earned up to a turn, by settlement currency."""
        sums: dict[str, int | None] = {}
        for info in self.infos:
            earned_e9, before = self.earned_e9(window, row, info.index), sums.get(info.settlement, 0)
            sums[info.settlement] = None if earned_e9 is None or before is None else before + earned_e9
        return [
            {"currency": name, "profit": "not known" if each is None else fixed(each, MONEY_DIGITS, signed=True)}
            for name, each in sums.items()
        ]

    def open_orders(self, window: Window, row: int, time_ns: int) -> list[dict[str, Any]]:
        """Show our orders that were open, each with what its simulated exchange had ahead of it."""
        places = {int(each["client_order_id"]): each for each in window.places_at(row)}
        filled: dict[int, int] = {}
        for fill in self.rows.table(FILLS):
            if fill["time_ns"] <= time_ns:
                filled[fill["client_order_id"]] = filled.get(fill["client_order_id"], 0) + fill["qty_lots"]
        shown = []
        for number, order in enumerate(self.rows.table(ORDERS), 1):
            is_over = order["closed_ns"] and order["closed_ns"] <= time_ns
            if not order["created_ns"] or order["created_ns"] > time_ns or is_over or order["state"] == "vetoed":
                continue
            info, place = self.infos[order["instrument"]], places.get(order["client_order_id"])
            shown.append(self.order_shown(number, order) | {
                "state": "live" if order["acked_ns"] and order["acked_ns"] <= time_ns else "pending",
                "filled": size_text(info, filled.get(order["client_order_id"], 0)),
                "ahead": self.ahead_text(order, place),
                "age": since_text(order["created_ns"], time_ns),
            })  # fmt: skip
        return shown

    def ahead_text(self, order: Row, place: Any) -> str:
        """Say how much is estimated to trade before an order."""
        if place is None or place["is_unseen"]:
            return "not known"
        info = self.infos[order["instrument"]]
        return size_text(info, int(place["front_lots"])) + f" {info.size_currency}"

    def order_shown(self, number: int, order: Row) -> dict[str, Any]:
        """Show what an order was sent as."""
        info = self.infos[order["instrument"]]
        return {
            "number": number,
            "id": order["client_order_id"],
            "name": info.name,
            "side": order["side"],
            "price": price_text(info, order["price_ticks"]),
            "quote": info.quote,
            "size": size_text(info, order["qty_lots"]),
            "size_currency": info.size_currency,
            "time_in_force": order["time_in_force"],
            "strategy": order["strategy"],
        }

    def orders_until(self, time_ns: int) -> list[dict[str, Any]]:
        """Show the last orders up to a time, the last one first, as they ended."""
        table = self.rows.table(ORDERS)
        there = [(number, row) for number, row in enumerate(table, 1) if 0 < row["created_ns"] <= time_ns]
        there.sort(key=lambda each: (each[1]["created_ns"], each[0]))
        return [
            self.order_shown(number, row) | {
                "created": precise_time_text(row["created_ns"]),
                "round_trip": since_text(row["created_ns"], row["acked_ns"]),
                "filled": size_text(self.infos[row["instrument"]], row["filled_lots"]),
                "outcome": " ".join(filter(None, (row["state"], row["reason"]))),
                "is_over": bool(row["closed_ns"] and row["closed_ns"] <= time_ns),
            }
            for number, row in reversed(there[-ROWS_SHOWN:])
        ]  # fmt: skip

    def opportunities_until(self, time_ns: int) -> list[dict[str, Any]]:
        """Show the last opportunities that had begun, the last one first."""
        table = self.rows.table(OPPORTUNITIES)
        there = [(number, row) for number, row in enumerate(table, 1) if row["start_ns"] <= time_ns]
        there.sort(key=lambda each: (each[1]["start_ns"], each[0]))
        return [self.opportunity(number, row, time_ns) for number, row in reversed(there[-ROWS_SHOWN:])]

    def opportunity(self, number: int, row: Row, time_ns: int) -> dict[str, Any]:
        """Show an opportunity as its file has it."""
        buy, sell = self.infos[row["buy_instrument"]], self.infos[row["sell_instrument"]]
        return {
            "number": number,
            "start": precise_time_text(row["start_ns"]),
            "lasted": duration_text(row["end_ns"] - row["start_ns"]),
            "is_open": row["start_ns"] <= time_ns < row["end_ns"],
            "buy": buy.name,
            "sell": sell.name,
            "quote": buy.quote,
            "base": buy.base,
            "buy_price": price_text(buy, row["first_buy_ticks"]),
            "sell_price": price_text(sell, row["first_sell_ticks"]),
            "first_edge": fixed(row["first_edge_e9"], MONEY_DIGITS, signed=True),
            "peak_edge": fixed(row["peak_edge_e9"], MONEY_DIGITS, signed=True),
            "peak_size": fixed(row["peak_size_e9"], 5),
            "captured": fixed(row["captured_size_e9"], 5),
            "attempts": row["attempts"],
            "blocked_by": row["blocked_by"] if row["attempts"] == 0 else "",
            "strategy": row["strategy"],
        }

    def lines_until(self, time_ns: int) -> list[dict[str, Any]]:
        """Show the journal's last lines up to a time, the last one first; those of this very turn are marked."""
        end = bisect.bisect_right(self.lines, time_ns, key=lambda line: line[0])
        chosen = self.lines[max(0, end - LINES_SHOWN) : end]
        return [{"text": text.strip(), "is_now": each_ns == time_ns} for each_ns, text in reversed(chosen)]

    def latencies(self, window: Window, row: int, seen: Any) -> list[dict[str, str]]:
        """Show what is known of this turn's times."""
        time_ns, shown = int(seen["time_ns"]), []
        for info in self.infos:
            book = window.book_at(info.index, row)
            if book is not None and book["row"] == row and row > window.first:
                feed = since_text(int(book["exchange_time_ns"]), int(book["receive_time_ns"])) or "not known"
                shown.append({"name": f"feed, {info.name}: exchange to receive", "value": feed})
        for order in self.rows.table(ORDERS):
            if order["acked_ns"] == time_ns:
                shown.append({"name": f"order {order['client_order_id']}: sent to acknowledged",
                              "value": since_text(order["created_ns"], time_ns)})  # fmt: skip
        if self.description.kind == "live":
            shown.append({"name": "receive to turn", "value": since_text(int(seen["received_ns"]), time_ns)})
        return shown

    def series(self, pair: list[int], from_ns: int, to_ns: int) -> dict[str, Any]:
        """Give the edges between two books over time for a chart, and the opportunities between them."""
        window = self.recording.window
        spans = [
            [row["start_ns"] / 1e9, row["end_ns"] / 1e9, number]
            for number, row in enumerate(self.rows.table(OPPORTUNITIES), 1)
            if {row["buy_instrument"], row["sell_instrument"]} == set(pair)
        ]
        times = window.turns["time_ns"]
        from_ns, to_ns = from_ns or int(times[0]), to_ns or int(times[-1])
        series = edge_series(window, self.instruments, pair, from_ns, to_ns)
        table = enumerate(self.rows.table(OPPORTUNITIES), 1)
        starts = [[str(row["start_ns"]), number] for number, row in sorted(table, key=lambda each: each[1]["start_ns"])]
        return series | {"opportunities": spans, "starts": starts, "is_whole": self.recording.is_whole}


def is_news(record: dict[str, Any], sessions: dict[str, str]) -> bool:
    """Tell whether a record says more than that a session still stands; `sessions` is how each stood last."""
    if record["kind"] != RecordKind.SESSION.name.lower():
        return True
    stood = sessions.get(record["venue"])
    sessions[record["venue"]] = record["state"]
    return bool(stood != record["state"])
