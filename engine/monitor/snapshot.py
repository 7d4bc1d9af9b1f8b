"""A live run's structs, read into answers. The loop goes on meanwhile: each number is as it was when it was read.

What belongs together is read until two reads agree (`consistent`): a book's levels, an order. Nothing is written.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Any

from crosswire.engine.build.market import instrument_names, underlying_names
from crosswire.engine.config import RunConfig
from crosswire.engine.control.attach import Attached, consistent
from crosswire.engine.control.counters import counters_of
from crosswire.engine.control.mailbox import Flattening
from crosswire.engine.control.parameters import named_parameters, size_unit
from crosswire.engine.feed_warnings import feed_warnings
from crosswire.engine.live.warnings import damaged_warning, standstill_warnings
from crosswire.engine.monitor import messages as m
from crosswire.engine.report.currency import e9
from crosswire.engine.report.facts import strategy_names
from crosswire.engine.state import Engine
from crosswire.nic.histogram import Histogram, percentile_ns
from crosswire.nic.memory.struct import address_of, size_of
from crosswire.nic.warning import DataWarning
from crosswire.risk.exposure import Sums
from crosswire.risk.position import Position, profit_e9
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, best_level, executable_lots, next_level
from crosswire.venues.instrument import Instrument, position_value_e9, text_of
from crosswire.venues.order import ORDERS_MAX, AmendState, Order, OrderState, TimeInForce
from crosswire.venues.session import SessionState
from crosswire.venues.side import ASK, BID, BUY

OUTSIDE_RUN = "?"  # the strategy of an order whose strategy is none of the run's


def is_limit(name: str) -> bool:
    """Tell whether a parameter is a limit; a larger limit allows more."""
    return name.startswith("limits.") or ".limits." in name


def words(value: int, kind: type[IntEnum]) -> str:
    """Name a number of an enumeration in small letters; one that it has not is shown as it is."""
    try:
        return kind(value).name.lower()
    except ValueError:
        return str(value)


def size_of_lots(instrument: Instrument, lots: int) -> Decimal:
    """Convert lots to the size currency."""
    return e9(lots * instrument.lot_e9)


def price_of_ticks(instrument: Instrument, ticks: int) -> Decimal:
    """Convert ticks to the quote currency."""
    return e9(ticks * instrument.tick_e9)


def net_e9(sums: Sums) -> int:
    """Give what a group counts for one way, as the gate judges it: the worse side."""
    return max(sums.long_e9, -sums.short_e9, 0)


class Snapshot:
    """Reads one attached run."""

    def __init__(self, run: Attached) -> None:
        """Take its names from its own configuration. ConfigError, JournalError, HostError."""
        self.run = run
        self.engine: Engine = run.engine
        self.config: RunConfig = run.config
        self.names = instrument_names(self.config)
        self.strategies = strategy_names(self.config)
        self.index_of = {name: index for index, name in enumerate(self.names)}

    # ------------------------------------------------------------ the run at a glance

    def status(self, refused: Sequence[m.Counter], connections: int, warnings: Sequence[DataWarning]) -> m.Status:
        """Show the run at a glance; the monitor says what it has counted and what it warns of beside."""
        engine = self.engine
        state, gate = engine.state, engine.gate
        return m.Status(
            name=self.config.name,
            run=self.run.folder.name,
            is_alive=self.run.is_alive(),
            now_ns=state.now_ns,
            state=words(max(gate.state, gate.asked_from_outside), TradingState),
            why="" if gate.why == Why.NONE else words(gate.why, Why),
            since_ns=gate.since_ns,
            alarms=gate.alarms,
            frames=state.frames,
            orders_sent=state.orders_sent,
            cancels_sent=state.cancels_sent,
            amends_sent=state.amends_sent,
            fills=state.fills,
            open_orders=engine.orders.count,
            flatten=""
            if engine.control.flatten.state == Flattening.NONE
            else words(engine.control.flatten.state, Flattening),
            money=self.money(),
            venues=[self._venue(number) for number in range(len(self.config.venue))],
            warnings=[*self.warnings(), *warnings],
            refused=list(refused),
            connections=connections,
            strategies=self.strategy_rows(),
        )

    def strategy_rows(self) -> list[m.StrategyRow]:
        """Show what each strategy has done and counted."""
        return [self._strategy(number) for number in range(len(self.strategies))]

    def _strategy(self, number: int) -> m.StrategyRow:
        seat = self.engine.seats[number]
        return m.StrategyRow(
            strategy=self.strategies[number],
            orders=seat.orders,
            fills=sum(seat.desk.positions[index].fills for index, _ in self.instruments()),
            counters=counters_of(self.engine.counters, number),
        )

    def money(self) -> list[m.Money]:
        """Sum what all instruments have earned, by settlement currency."""
        sums: dict[str, list[int]] = {}
        for index, instrument in self.instruments():
            position: Position = settled(self.engine.gate.positions[index])
            if position.fills or position.cash_e9 or position.fees_e9 or position.position_lots:
                own = sums.setdefault(text_of(instrument.settlement), [0, 0, 0])
                earned = (profit_e9(position, instrument), position.realised_e9, position.fees_e9)
                own[:] = [before + more for before, more in zip(own, earned, strict=True)]
        return [m.Money(currency, *map(e9, amounts)) for currency, amounts in sorted(sums.items())]

    def warnings(self) -> list[DataWarning]:
        """List what makes the run's figures less than the whole truth."""
        found: list[DataWarning] = []
        for number, venue in enumerate(self.config.venue):
            damaged = self.engine.venues[number].damaged
            if damaged != 0:
                found.append(damaged_warning(venue.name, damaged))
            feed = self.run.parts[number].feed
            if feed is not None:
                found += feed_warnings(feed, self.engine.market, venue.name)
        return found + standstill_warnings(self.engine.state)

    def _venue(self, number: int) -> m.VenueStatus:
        part = self.run.parts[number]
        own = [index for index, instrument in self.instruments() if instrument.venue == number]
        counters = None if part.ring is None else getattr(part.ring, "counters", None)
        return m.VenueStatus(
            venue=self.config.venue[number].name,
            session=words(self.engine.gate.venues[number].session_state, SessionState),
            is_lost=self.engine.venues[number].is_lost != 0,
            frames=0 if part.feed is None else part.feed.packets,
            drops=0 if counters is None else counters.drops,
            gaps=0 if part.feed is None else part.feed.sequence_gaps,
            books=len(own),
            books_proven=sum(self.engine.market.books[index].valid != 0 for index in own),
        )

    # ------------------------------------------------------------ what is held and open

    def positions(self) -> m.Positions:
        """Show every instrument's position."""
        rows = [self._position(index, instrument) for index, instrument in self.instruments()]
        return m.Positions(self.engine.state.now_ns, rows)

    def _position(self, index: int, instrument: Instrument) -> m.PositionRow:
        position: Position = settled(self.engine.gate.positions[index])
        lots, mark_ticks = position.position_lots, position.mark_ticks
        value = e9(position_value_e9(instrument, mark_ticks, lots)) if mark_ticks != 0 and lots != 0 else Decimal(0)
        held = [
            (name, self.engine.seats[number].desk.positions[index].position_lots)
            for number, name in enumerate(self.strategies)
        ]
        return m.PositionRow(
            instrument=self.names[index],
            size_currency=size_unit(instrument),
            quote_currency=text_of(instrument.quote),
            currency=text_of(instrument.settlement),
            position=size_of_lots(instrument, lots),
            position_lots=lots,
            open_buys=size_of_lots(instrument, position.open_buy_lots),
            open_sells=size_of_lots(instrument, position.open_sell_lots),
            mark_price=price_of_ticks(instrument, mark_ticks) if mark_ticks != 0 else None,
            value=value if mark_ticks != 0 else None,
            profit=e9(profit_e9(position, instrument)),
            realised=e9(position.realised_e9),
            fees=e9(position.fees_e9),
            fills=position.fills,
            by_strategy={name: size_of_lots(instrument, own) for name, own in held if own != 0},
        )

    def orders(self) -> m.Orders:
        """Show the open orders."""
        states = self.engine.orders.orders.numpy(ORDERS_MAX)["state"]
        rows = []
        for slot in (states != OrderState.FREE).nonzero()[0].tolist():
            order: Order = settled(self.engine.orders.orders[slot])
            if order.state in (OrderState.PENDING_NEW, OrderState.LIVE, OrderState.PENDING_CANCEL):
                rows.append(self._order(order))
        return m.Orders(self.engine.state.now_ns, sorted(rows, key=lambda row: (row.created_ns, row.client_order_id)))

    def _order(self, order: Order) -> m.OrderRow:
        instrument = self.engine.market.instruments[order.instrument]
        is_known = 0 <= order.strategy < len(self.strategies)
        return m.OrderRow(
            client_order_id=order.client_order_id,
            exchange_order_id=order.exchange_order_id,
            instrument=self.names[order.instrument],
            strategy=self.strategies[order.strategy] if is_known else OUTSIDE_RUN,
            side="buy" if order.side == BUY else "sell",
            time_in_force=words(order.time_in_force, TimeInForce),
            state=words(order.state, OrderState),
            price=price_of_ticks(instrument, order.price_ticks),
            size=size_of_lots(instrument, order.qty_lots),
            filled=size_of_lots(instrument, order.filled_lots),
            size_currency=size_unit(instrument),
            created_ns=order.created_ns,
            acked_ns=order.acked_ns,
            amend="" if order.amend_state == AmendState.NONE else words(order.amend_state, AmendState),
            is_queued=order.queued != 0,
        )

    # ------------------------------------------------------------ markets and wires

    def books(self, indices: Sequence[int], depth: int) -> m.Books:
        """Show books, `depth` levels a side."""
        return m.Books(self.engine.state.now_ns, [self._book(index, depth) for index in indices])

    def _book(self, index: int, depth: int) -> m.BookRow:
        instrument, book = self.engine.market.instruments[index], self.engine.market.books[index]
        levels = agreed(lambda: (book.valid, book.exchange_time_ns, *(levels_of(book, s, depth) for s in (BID, ASK))))
        row = m.BookRow(
            instrument=self.names[index],
            size_currency=size_unit(instrument),
            quote_currency=text_of(instrument.quote),
            is_proven=book.valid != 0,
            is_torn=levels is None,
            exchange_time_ns=book.exchange_time_ns,
            bids=[],
            asks=[],
        )
        if levels is not None:
            is_valid, row.exchange_time_ns, bids, asks = levels
            row.is_proven = is_valid != 0
            if row.is_proven:
                row.bids, row.asks = (self._levels(instrument, side) for side in (bids, asks))
        return row

    def _levels(self, instrument: Instrument, levels: Sequence[tuple[int, int]]) -> list[m.Level]:
        return [m.Level(price_of_ticks(instrument, ticks), size_of_lots(instrument, lots)) for ticks, lots in levels]

    def latencies(self) -> m.Latencies:
        """Show the latencies by stage."""
        state = self.engine.state
        stages = ("feed_latency", "order_round_trip", "receive_to_send")
        return m.Latencies(state.now_ns, [latency_row(stage, getattr(state, stage)) for stage in stages])

    def sessions(self) -> m.Sessions:
        """Show each venue's order session and feed."""
        return m.Sessions(self.engine.state.now_ns, [self._session(number) for number in range(len(self.config.venue))])

    def _session(self, number: int) -> m.SessionRow:
        venue, part, config = self.engine.venues[number], self.run.parts[number], self.config.venue[number]
        return m.SessionRow(
            venue=config.name,
            state=words(self.engine.gate.venues[number].session_state, SessionState),
            is_lost=venue.is_lost != 0,
            losses=venue.losses,
            text="" if part.session is None else config.order_entry.explain(part.session),
            orders_sent=None if part.session is None else part.session.orders_sent,
            accounts=venue.accounts,
            differences=venue.differences,
            strangers=venue.strangers,
            counters=feed_counters(part.feed),
        )

    # ------------------------------------------------------------ what may be changed

    def parameters(self) -> m.Parameters:
        """Show what may be changed while the run trades."""
        rows = [
            m.ParameterRow(each.name, each.now, each.unit, each.least, each.most)
            for each in named_parameters(self.engine)
        ]
        return m.Parameters(self.engine.state.now_ns, rows)

    def limits(self) -> m.Limits:
        """Show the limits that may be changed, and how much of them is used where that is one number."""
        used = self._used()
        rows = [
            m.LimitRow(each.name, each.now, each.unit, used.get(each.name))
            for each in named_parameters(self.engine)
            if is_limit(each.name)
        ]
        return m.Limits(self.engine.state.now_ns, rows)

    def _used(self) -> dict[str, Decimal]:
        gate = self.engine.gate
        used = {
            "limits.loss_max": e9(max(0, -gate.profit_e9)),
            "limits.realised_loss_max": e9(max(0, -gate.realised_e9)),
            "limits.account.gross_max": e9(gate.sums.gross_e9),
            "limits.account.net_max": e9(net_e9(gate.sums)),
        }
        for number, name in enumerate(underlying_names(self.config)):
            sums = gate.underlyings[number].sums
            used[f"limits.underlying.{name}.gross_max"] = e9(sums.gross_e9)
            used[f"limits.underlying.{name}.net_max"] = e9(net_e9(sums))
        for number, venue in enumerate(self.config.venue):
            used[f"venue.{venue.name}.limits.open_orders_max"] = Decimal(gate.venues[number].open_orders)
            used[f"venue.{venue.name}.limits.notional_max"] = e9(gate.venues[number].sums.gross_e9)
            for each in venue.instrument:
                index = self.index_of[f"{venue.name}/{each.symbol}"]
                lots = abs(gate.positions[index].position_lots)
                name = f"venue.{venue.name}.instrument.{each.symbol}.limits.position_max"
                used[name] = size_of_lots(gate.instruments[index], lots)
        for number, strategy in enumerate(self.strategies):
            own = gate.strategies[number]
            used[f"strategy.{strategy}.limits.notional_max"] = e9(own.sums.gross_e9)
            used[f"strategy.{strategy}.limits.loss_max"] = e9(max(0, -own.profit_e9))
        return used

    # ------------------------------------------------------------ what all of it needs

    def instruments(self) -> Iterator[tuple[int, Instrument]]:
        """Give each instrument with its market index."""
        for index in range(len(self.names)):
            yield index, self.engine.market.instruments[index]


def latency_row(stage: str, histogram: Histogram) -> m.LatencyRow:
    """Show one stage's histogram."""
    copy = settled(histogram)
    p50, p90, p99 = (percentile_ns(copy, percent) for percent in (50, 90, 99))
    return m.LatencyRow(stage, copy.count, p50, p90, p99, copy.max_ns)


def feed_counters(feed: Any) -> list[m.Counter]:
    """Show what a feed counts."""
    if feed is None:
        return []
    names = ("packets", "level_updates", "sequence_gaps", "duplicates", "continuity_breaks", "restarts")
    return [m.Counter(name, getattr(feed, name)) for name in names]


def levels_of(book: Book, side: int, depth: int) -> list[tuple[int, int]]:
    """Read the best levels of a side: ticks and lots."""
    levels: list[tuple[int, int]] = []
    ticks = best_level(book, side)
    while len(levels) < depth and ticks not in (NO_BID, NO_ASK):
        levels.append((ticks, executable_lots(book, side, ticks)))
        ticks = next_level(book, side, ticks)
    return levels


def agreed(read: Callable[[], Any]) -> Any:
    """Read until two reads agree; None: they never did, or what was read half-written led nowhere."""
    try:
        return consistent(read)
    except (IndexError, ValueError, OverflowError, ArithmeticError, AssertionError):
        return None


def settled(struct: Any) -> Any:
    """Copy a struct as it was at one instant, or as nearly so as it keeps still."""
    copy = type(struct)()
    content = consistent(lambda: bytes(struct))
    ctypes.memmove(address_of(copy), bytes(struct) if content is None else content, size_of(type(struct)))
    return copy
