"""The metrics of a live run, in the order in which they are told and documented (docs/telemetry.md)."""

import time
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any

from crosswire.engine.build.market import underlying_names
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.metrics import Kind, Metric, Value
from crosswire.engine.monitor.snapshot import Snapshot, net_e9, settled, words
from crosswire.nic.duration import NS_PER_S
from crosswire.risk.exposure import Sums
from crosswire.risk.gate import Veto
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.feed import Reject
from crosswire.venues.instrument import text_of
from crosswire.venues.lines import behind_by_line
from crosswire.venues.session import SessionState

Read = Callable[[Snapshot], Iterable[Value]]
E9 = 1e9


def one(read: Callable[[Snapshot], float]) -> Read:
    """Read one number of the run."""
    return lambda run: [((), read(run))]


def by_venue(read: Callable[[Snapshot, int], float | None]) -> Read:
    """Read one number of each venue; None: it has none."""

    def values(run: Snapshot) -> Iterator[Value]:
        for number, venue in enumerate(run.config.venue):
            found = read(run, number)
            if found is not None:
                yield (venue.name,), found

    return values


def of_part(part: str, field: str) -> Read:
    """Read a field of each venue's feed, session or ring, if that is shared."""

    def read(run: Snapshot, number: int) -> float | None:
        struct = getattr(run.run.parts[number], part)
        return None if struct is None else float(getattr(struct, field))

    return by_venue(read)


def ring_counter(field: str) -> Read:
    """Read a counter of each venue's market data ring."""

    def read(run: Snapshot, number: int) -> float | None:
        counters = getattr(run.run.parts[number].ring, "counters", None)
        return None if counters is None else float(getattr(counters, field))

    return by_venue(read)


def one_of(kind: type[IntEnum], now: int) -> Iterator[tuple[str, float]]:
    """Give 1 for the state that holds and 0 for the others."""
    for each in kind:
        yield words(each, kind), float(each == now)


def session_states(run: Snapshot) -> Iterator[Value]:
    """Give each venue's session state."""
    for number, venue in enumerate(run.config.venue):
        for state, is_it in one_of(SessionState, run.engine.gate.venues[number].session_state):
            yield (venue.name, state), is_it


def trading_states(run: Snapshot) -> Iterator[Value]:
    """Give the state that holds."""
    gate = run.engine.gate
    for state, is_it in one_of(TradingState, max(gate.state, gate.asked_from_outside)):
        yield (state,), is_it


def reasons(run: Snapshot) -> Iterator[Value]:
    """Give each reason for which something less than all may be sent, and what it asks for."""
    for why in Why:
        if why != Why.NONE:
            yield (words(why, Why),), float(run.engine.gate.asked[why])


def vetoes(run: Snapshot) -> Iterator[Value]:
    """Give what the gate has refused."""
    for veto in Veto:
        if veto != Veto.NONE:
            yield (words(veto, Veto),), float(run.engine.gate.vetoes[veto])


def rejects(run: Snapshot) -> Iterator[Value]:
    """Give what feeds have not believed."""
    for number, venue in enumerate(run.config.venue):
        feed = run.run.parts[number].feed
        for reason in Reject if feed is not None else ():
            yield (venue.name, words(reason, Reject)), float(feed.rejects[reason])


def by_book(read: Callable[[Snapshot, int], float | None]) -> Read:
    """Read one number of each instrument; None: it has none."""

    def values(run: Snapshot) -> Iterator[Value]:
        for index, name in enumerate(run.names):
            found = read(run, index)
            if found is not None:
                venue, _, symbol = name.partition("/")
                yield (venue, symbol), found

    return values


def book_age_s(run: Snapshot, index: int) -> float | None:
    """Give how long ago the last frame came that changed a book; None: none has."""
    received_ns = run.engine.gate.tops[index].receive_time_ns
    return None if received_ns <= 0 else max(0, run.engine.state.now_ns - received_ns) / NS_PER_S


def positions(run: Snapshot) -> Iterator[Value]:
    """Give what is held, in each instrument's size currency."""
    for row in run.positions().rows:
        venue, _, symbol = row.instrument.partition("/")
        yield (venue, symbol, row.size_currency), float(row.position)


def instrument_profits(run: Snapshot) -> Iterator[Value]:
    """Give what each instrument has earned, in its settlement currency."""
    for row in run.positions().rows:
        venue, _, symbol = row.instrument.partition("/")
        yield (venue, symbol, row.currency), float(row.profit)


def money(field: str) -> Read:
    """Read what was earned or paid, by settlement currency; those in which nothing happened are 0."""

    def values(run: Snapshot) -> Iterator[Value]:
        sums = {text_of(instrument.settlement): 0.0 for _, instrument in run.instruments()}
        sums |= {each.currency: float(getattr(each, field)) for each in run.money()}
        for currency, amount in sorted(sums.items()):
            yield (currency,), amount

    return values


def exposures(run: Snapshot) -> Iterator[tuple[tuple[str, str], Sums]]:
    """Give the sums that the gate judges by: of the account, each underlying, venue and strategy."""
    gate = run.engine.gate
    yield ("account", ""), settled(gate.sums)
    for number, name in enumerate(underlying_names(run.config)):
        yield ("underlying", name), settled(gate.underlyings[number].sums)
    for number, venue in enumerate(run.config.venue):
        yield ("venue", venue.name), settled(gate.venues[number].sums)
    for number, name in enumerate(run.strategies):
        yield ("strategy", name), settled(gate.strategies[number].sums)


def exposure(read: Callable[[Sums], int]) -> Read:
    """Read one figure of all exposures."""
    return lambda run: ((labels, read(sums) / E9) for labels, sums in exposures(run))


def strategy_rows(read: Callable[[m.StrategyRow], int]) -> Read:
    """Read one figure of each strategy."""
    return lambda run: (((row.strategy,), float(read(row))) for row in run.strategy_rows())


def strategy_counters(run: Snapshot) -> Iterator[Value]:
    """Give what each strategy counts itself."""
    for row in run.strategy_rows():
        for name, count in row.counters.items():
            yield (row.strategy, name), float(count)


def limits(run: Snapshot) -> Iterator[Value]:
    """Give each limit that can be changed and of which one number says how much is used."""
    for row in run.limits().rows:
        if row.used is not None:
            yield (row.name,), float(row.value)


def limits_used(run: Snapshot) -> Iterator[Value]:
    """Give what of each limit is used; of a limit of 0 all is."""
    for row in run.limits().rows:
        if row.used is not None:
            yield (row.name,), float(row.used / row.value) if row.value > 0 else 1.0


def latency(stage: str) -> Read:
    """Read one stage's histogram."""
    return lambda run: [((), getattr(run.engine.state, stage))]


def lines_behind(run: Snapshot) -> Iterator[Value]:
    """Give how far each line of a feed is behind the one that came first."""
    for number, venue in enumerate(run.config.venue):
        feed = run.run.parts[number].feed
        if feed is not None:
            for line, behind in behind_by_line(feed.lines).items():
                yield (venue.name, line), behind


def of_state(field: str) -> Read:
    """Read a field of the loop's state."""
    return one(lambda run: float(getattr(run.engine.state, field)))


def of_venue(field: str) -> Read:
    """Read a field of each venue as the loop has it."""
    return by_venue(lambda run, number: float(getattr(run.engine.venues[number], field)))


def loop_age_s(run: Snapshot) -> float:
    """Give how far the loop's clock lies behind the host's: a loop that turns is microseconds behind."""
    return max(0, time.time_ns() - run.engine.state.now_ns) / NS_PER_S


def warnings(run: Snapshot) -> Iterator[Value]:
    """Count what makes the run's figures less than the whole truth, by kind."""
    sums: dict[str, int] = {}
    for each in run.warnings():
        sums[each.kind] = sums.get(each.kind, 0) + each.count
    for kind, count in sums.items():
        yield (kind,), float(count)


def _metric(name: str, kind: Kind, labels: str, text: str, read: Any) -> Metric:
    return Metric(f"crosswire_{name}", kind, tuple(labels.split()), text, read)


C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
RUN_METRICS = (
    _metric(
        "run_info", G, "name run", "1; which run the other metrics are of.",
        lambda run: [((run.config.name, run.run.folder.name), 1.0)],
    ),
    _metric(
        "loop_age_seconds", G, "", "How far the loop's clock lies behind the host's: it turns if this is small.",
        one(loop_age_s),
    ),
    _metric("frames_total", C, "", "Frames that the loop has read, of all venues.", of_state("frames")),
    _metric("orders_sent_total", C, "", "New orders that left.", of_state("orders_sent")),
    _metric("cancels_sent_total", C, "", "Cancels that left.", of_state("cancels_sent")),
    _metric("amends_sent_total", C, "", "Amends that left.", of_state("amends_sent")),
    _metric("fills_total", C, "", "Fills that were booked.", of_state("fills")),
    _metric("open_orders", G, "", "Orders that have not ended.", one(lambda run: float(run.engine.orders.count))),
    _metric("trading_state", G, "state", "1 for the state that holds, 0 for the others.", trading_states),
    _metric(
        "trading_state_asked", G, "reason",
        "What each reason asks for: 0 active, 1 reduce only, 2 cancel only, 3 halted.", reasons,
    ),
    _metric(
        "alarms_total", C, "", "What a venue and the engine do not agree on; one ends the run.",
        one(lambda run: float(run.engine.gate.alarms)),
    ),
    _metric("vetoes_total", C, "reason", "Orders, amends and quotes that the gate refused.", vetoes),
    _metric("standstills_total", C, "", "Times that the loop stood still for 10 ms and more.", of_state("standstills")),
    _metric(
        "standstill_longest_seconds", G, "", "The longest of them.",
        one(lambda run: run.engine.state.standstill_longest_ns / NS_PER_S),
    ),
    _metric(
        "journal_records_total", C, "", "Records written into the journal.",
        one(lambda run: float(run.engine.journal.sequence)),
    ),
    _metric(
        "journal_records_dropped_total", C, "", "Records that the journal had no room for.",
        one(lambda run: float(run.engine.journal.dropped)),
    ),
    _metric("feed_packets_total", C, "venue", "Packets of market data that were decoded.", of_part("feed", "packets")),
    _metric("feed_gaps_total", C, "venue", "Packets missing on any channel.", of_part("feed", "sequence_gaps")),
    _metric(
        "feed_duplicates_total", C, "venue",
        "Packets that had come already: the later copy of an A/B pair, or late ones.", of_part("feed", "duplicates"),
    ),
    _metric(
        "feed_continuity_breaks_total", C, "venue", "Chains of book changes that broke.",
        of_part("feed", "continuity_breaks"),
    ),
    _metric("feed_restarts_total", C, "venue", "Sequences that began anew.", of_part("feed", "restarts")),
    _metric(
        "feed_definition_mismatches_total", C, "venue", "Definitions that contradict the configuration.",
        of_part("feed", "definition_mismatches"),
    ),
    _metric("feed_rejects_total", C, "venue reason", "What a feed has not believed.", rejects),
    _metric("feed_damaged_total", C, "venue", "Datagrams that were not read for their checksum.", of_venue("damaged")),
    _metric("ring_frames_total", C, "venue", "Frames that came out of the ring.", ring_counter("frames")),
    _metric("ring_drops_total", C, "venue", "Frames that the ring knows it lost.", ring_counter("drops")),
    _metric(
        "book_valid", G, "venue instrument", "1: the venue's own continuity rule proves the book.",
        by_book(lambda run, index: float(run.engine.market.books[index].valid != 0)),
    ),
    _metric(
        "book_age_seconds", G, "venue instrument", "Since the last frame that changed the book, by the loop's clock.",
        by_book(book_age_s),
    ),
    _metric("session_state", G, "venue state", "1 for the order session's state, 0 for the others.", session_states),
    _metric("session_lost", G, "venue", "1: it was lost, and is not ready again.", of_venue("is_lost")),
    _metric("session_losses_total", C, "venue", "Times that it was lost.", of_venue("losses")),
    _metric("session_orders_sent_total", C, "venue", "New orders sent.", of_part("session", "orders_sent")),
    _metric("session_cancels_sent_total", C, "venue", "Cancels sent.", of_part("session", "cancels_sent")),
    _metric(
        "session_ring_full_total", C, "venue", "Orders not sent because the transmit ring had no slot.",
        of_part("session", "ring_full"),
    ),
    _metric(
        "session_bad_frames_total", C, "venue", "Received frames that the session has not believed.",
        of_part("session", "bad_frames"),
    ),
    _metric(
        "account_comparisons_total", C, "venue", "Times that the venue has told all that it has of us.",
        of_venue("accounts"),
    ),
    _metric(
        "account_differences_total", C, "venue", "Positions that it had otherwise.", of_venue("differences"),
    ),
    _metric(
        "account_strangers_total", C, "venue", "Orders and holdings that it had and we did not know.",
        of_venue("strangers"),
    ),
    _metric("position", G, "venue instrument currency", "What is held, in that currency; short below 0.", positions),
    _metric(
        "instrument_profit", G, "venue instrument currency", "P&L after fees, at the last trusted price.",
        instrument_profits,
    ),
    _metric("profit", G, "currency", "P&L of all instruments after fees, at the last trusted prices.", money("profit")),
    _metric("realised", G, "currency", "What was closed has earned, before fees.", money("realised")),
    _metric("fees", G, "currency", "Fees paid; rebates count against them.", money("fees")),
    _metric(
        "exposure_gross", G, "of name", "What is held and open at its worst, quote currency.",
        exposure(lambda sums: sums.gross_e9),
    ),
    _metric("exposure_net", G, "of name", "The same for one way, the worse one.", exposure(net_e9)),
    _metric(
        "exposure_delta", G, "of name", "What is held, in base coin; short below 0.",
        exposure(lambda sums: sums.delta_held_e9),
    ),
    _metric("limit", G, "limit", "A limit, in its own unit.", limits),
    _metric("limit_used_ratio", G, "limit", "How much of it is used; 1 is all.", limits_used),
    _metric(
        "strategy_orders_total", C, "strategy", "Orders that have ended, vetoed ones included.",
        strategy_rows(lambda row: row.orders),
    ),
    _metric("strategy_fills_total", C, "strategy", "Its fills.", strategy_rows(lambda row: row.fills)),
    _metric("strategy_counter", G, "strategy counter", "What a strategy counts itself.", strategy_counters),
    _metric(
        "feed_latency_seconds", H, "", "From the exchange's time stamp to the frame's receive time, by book change.",
        latency("feed_latency"),
    ),
    _metric(
        "feed_latency_negative_total", C, "", "Book changes received before the exchange's time stamp: clocks differ.",
        one(lambda run: float(run.engine.state.feed_latency.negative)),
    ),
    _metric(
        "feed_line_behind_seconds", H, "venue line",
        "How much later a line brought the same packet, by its group: the lead of the first.", lines_behind,
    ),
    _metric(
        "order_round_trip_seconds", H, "", "From an order's frame to its acknowledgement.", latency("order_round_trip")
    ),
    _metric(
        "receive_to_send_seconds", H, "", "From the poll that gave the trigger to the order being handed to its ring.",
        latency("receive_to_send"),
    ),
    _metric("data_warnings", G, "kind", "What makes the figures less than the whole truth: how often.", warnings),
)  # fmt: skip
