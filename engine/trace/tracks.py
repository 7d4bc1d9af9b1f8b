"""Frames and answers by venue, orders with their arrows, opportunities and trades, and what is held and quoted."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosswire.engine.report.recorder import FILLS, OPPORTUNITIES, ORDERS, TRADES, InstrumentInfo
from crosswire.engine.report.rows import Row
from crosswire.engine.trace.events import TraceEvents
from crosswire.engine.trace.probe import Stage
from crosswire.engine.trace.turns import FRAME_NAMES
from crosswire.engine.trace.window import Traced
from crosswire.engine.venue import REPORTS
from crosswire.venues.instrument import E9

FIRST_VENUE, ORDER_LIVES, CHANCES, MARKET = 10, 2, 3, 4  # processes of their tracks
RECEIVED, ANSWERED, SENT = 1, 2, 3  # tracks of a venue
VETOED = 2  # track of ORDER_LIVES
NOT_MEASURED = "an instant: its length was not measured"


@dataclass
class Anchor:
    """A moment at a venue that arrows may begin or end at."""

    venue: int
    track: int
    name: str
    time_ns: int  # ns since the epoch
    args: dict[str, Any]
    flows: list[tuple[str, int]] = field(default_factory=list)  # phase, order id


def frames_of(traced: Traced) -> list[Anchor]:
    """List the frames that the loop took: when each was received."""
    anchors = []
    for mark in traced.marks[traced.marks["stage"] == Stage.TAKE]:
        kind, received_ns, taken_ns = int(mark["number"]), int(mark["frame_time_ns"]), int(mark["time_ns"])
        args = {
            "bytes": int(mark["length"]),
            "received_ns": str(received_ns),
            "waited_ns": taken_ns - received_ns,
            "turn": int(mark["turn"]),
            "length": NOT_MEASURED,
        }
        track = ANSWERED if kind == REPORTS else RECEIVED
        venue = int(mark["place"])
        anchors.append(Anchor(venue, track, FRAME_NAMES.get(kind, "other frame"), received_ns, args))
    return anchors


def sent_of(traced: Traced) -> list[Anchor]:
    """List the order messages that the loop sent, at the time of their turns."""
    names = {
        Stage.NEW: "new order",
        Stage.AMEND: "amend",
        Stage.CANCEL: "cancel",
        Stage.CANCEL_BY_ID: "cancel by the venue's id",
        Stage.MASS_CANCEL: "mass cancel",
        Stage.MASS_QUOTE: "mass quote",
    }
    anchors = []
    for mark in traced.marks[traced.marks["stage"] >= Stage.NEW]:
        time_ns = int(mark["time_ns"])
        args = {"turn": int(mark["turn"]), "length": NOT_MEASURED}
        if mark["number"]:
            args["order"] = str(int(mark["number"]))
        anchors.append(Anchor(int(mark["place"]), SENT, names[Stage(int(mark["stage"]))], time_ns, args))
    return anchors


def add_venues(traced: Traced, events: TraceEvents, frames: list[Anchor], sent: list[Anchor]) -> None:
    """Add each venue's frames, answers and messages, with the arrows of the orders between them."""
    for number, name in enumerate(traced.run.description.venues):
        events.name_process(FIRST_VENUE + number, f"venue {name}", FIRST_VENUE + number)
        for track, what in ((RECEIVED, "frames received"), (ANSWERED, "answers received"), (SENT, "orders sent")):
            events.name_track(FIRST_VENUE + number, track, what)
    tie_orders(traced, frames, sent)
    for each in sorted([*frames, *sent], key=lambda anchor: anchor.time_ns):
        place = (FIRST_VENUE + each.venue, each.track)
        events.slice(place, each.name, (each.time_ns, 0), "wire", each.args)
        for phase, number in each.flows:
            events.flow(phase, place, number, each.time_ns)


def tie_orders(traced: Traced, frames: list[Anchor], sent: list[Anchor]) -> None:
    """Let arrows go from the frame that an order answers to its message, and on to the answer that acknowledged it.

    Frame and message are of one turn, and so are the answer and what the strategy heard of it: nothing else is believed
    to belong together.
    """
    triggers = {(each.args["turn"], each.time_ns): each for each in frames}
    answers = {(each.venue, each.args["turn"]): each for each in frames if each.track == ANSWERED}
    messages = {each.args["order"]: each for each in sent if each.name == "new order" and "order" in each.args}
    heard = {
        (int(mark["number"]), int(mark["time_ns"])): int(mark["turn"])
        for mark in traced.marks[np.isin(traced.marks["stage"], (Stage.HEAR_FILL, Stage.HEAR_ORDER))]
    }
    for order in traced.run.rows.table(ORDERS):
        number = order["client_order_id"]
        message = messages.get(str(number))
        if message is None:
            continue
        trigger = triggers.get((message.args["turn"], order["trigger_ns"]))
        answer = answers.get((message.venue, heard.get((number, order["acked_ns"]), 0)))
        tied = [each for each in (trigger, message, answer) if each is not None]
        for place, each in enumerate(tied if len(tied) > 1 else []):
            each.flows.append(("s" if place == 0 else "f" if place == len(tied) - 1 else "t", number))


def add_orders(traced: Traced, events: TraceEvents) -> None:
    """Add each order from its decision to its end, cut at the window's begin; fills and vetoes as moments."""
    clock = "simulated" if traced.is_simulated else "the run's own, live"
    events.name_process(ORDER_LIVES, "orders", ORDER_LIVES)
    events.name_track(ORDER_LIVES, VETOED, "vetoed")
    fills = defaultdict(list)
    for fill in traced.run.rows.table(FILLS):
        if traced.holds(fill["time_ns"]):
            fills[fill["client_order_id"]].append(fill)
    for order in traced.run.rows.table(ORDERS):
        name = f"{order['side']} {order['venue']}/{order['symbol']}"
        if order["state"] == "vetoed":
            if traced.holds(order["closed_ns"]):
                events.instant((ORDER_LIVES, VETOED), f"vetoed: {order['reason']}", order["closed_ns"], "order",
                               plain_args(order))  # fmt: skip
        elif order["created_ns"] < traced.until_ns and not 0 < order["closed_ns"] < traced.from_ns:
            add_life(traced, events, order, name, plain_args(order) | {"clock": clock})
            for fill in fills[order["client_order_id"]]:
                key = ("order", order["client_order_id"], "fill")
                events.span("n", ORDER_LIVES, key, fill["time_ns"], plain_args(fill))


def add_life(traced: Traced, events: TraceEvents, order: Row, name: str, args: dict[str, Any]) -> None:
    """Add one order: all of its life, and in that the way to its acknowledgement."""
    number, created_ns, acked_ns = order["client_order_id"], order["created_ns"], order["acked_ns"]
    if created_ns < traced.from_ns:
        args["began"] = "before the trace"
    if not order["closed_ns"] or order["closed_ns"] >= traced.until_ns:
        args["ended"] = "behind the trace, or never"
    key = ("order", number, name)
    events.span("b", ORDER_LIVES, key, max(created_ns, traced.from_ns), args)
    if traced.holds(created_ns) and traced.holds(acked_ns):
        waiting = ("order", number, "to its acknowledgement")
        events.span("b", ORDER_LIVES, waiting, created_ns)
        events.span("e", ORDER_LIVES, waiting, acked_ns)
    events.span("e", ORDER_LIVES, key, min(order["closed_ns"] or traced.until_ns, traced.until_ns))


def add_chances(traced: Traced, events: TraceEvents) -> None:
    """Add opportunities and trades, cut at the window."""
    events.name_process(CHANCES, "opportunities and trades", CHANCES)
    for file, kind in ((OPPORTUNITIES, "opportunity"), (TRADES, "trade")):
        for number, row in enumerate(traced.run.rows.table(file), 1):
            if row["start_ns"] < traced.until_ns and row["end_ns"] >= traced.from_ns:
                key = (kind, number, f"{kind}: buy {row['buy']}, sell {row['sell']}")
                events.span("b", CHANCES, key, max(row["start_ns"], traced.from_ns), plain_args(row))
                events.span("e", CHANCES, key, min(row["end_ns"], traced.until_ns))


def plain_args(row: Row) -> dict[str, Any]:
    """Show a row of a file; numbers that a double can't hold as text."""
    return {
        name: str(each) if isinstance(each, int) and abs(each) > 1 << 53 else each
        for name, each in row.items()
        if each is not None
    }


def add_market(traced: Traced, events: TraceEvents) -> None:
    """Add best prices, positions and P&L as counters, wherever a turn changed them."""
    events.name_process(MARKET, "prices, positions, P&L", MARKET)
    window, rows = traced.window, traced.rows
    for book in window.books:
        row = int(book["row"])
        if row in rows:
            info, time_ns = traced.run.infos[int(book["instrument"])], time_at(traced, row)
            if prices := best_prices(book, info):
                events.counter(MARKET, f"{info.name} {info.quote}", time_ns, prices)
            elif not book["valid"]:
                events.instant((MARKET, 1), f"{info.name} has no proven book", time_ns, "book", None)
    changed = {int(row) for row in window.positions["row"]}
    for held in window.positions:
        row = int(held["row"])
        if row in rows:
            info = traced.run.infos[int(held["instrument"])]
            size = int(held["position_lots"]) * info.lot_e9 / E9
            events.counter(MARKET, f"position {info.name}", time_at(traced, row), {info.size_currency: size})
    for row in sorted(each for each in changed | {int(each) for each in window.books["row"]} if each in rows):
        add_profit(traced, events, row)


def best_prices(book: Any, info: InstrumentInfo) -> dict[str, float]:
    """Give the best prices of a book, of the sides that have any."""
    sides = (("bid", "bids", "bid_ticks"), ("ask", "asks", "ask_ticks"))
    return {name: int(book[ticks][0]) * info.tick_e9 / E9 for name, count, ticks in sides if book[count]}


def add_profit(traced: Traced, events: TraceEvents, row: int) -> None:
    """Add what was earned up to a row, by settlement currency: cash less fees and what is held at the mean."""
    sums: dict[str, int | None] = {}
    for info in traced.run.infos:
        earned_e9, before = traced.run.earned_e9(traced.window, row, info.index), sums.get(info.settlement, 0)
        sums[info.settlement] = None if earned_e9 is None or before is None else before + earned_e9
    for currency, earned_e9 in sums.items():
        if earned_e9 is not None:
            events.counter(MARKET, f"P&L {currency}", time_at(traced, row), {currency: earned_e9 / E9})


def time_at(traced: Traced, row: int) -> int:
    """Return the time of a row of the window."""
    return int(traced.window.turns["time_ns"][row - traced.window.first])
