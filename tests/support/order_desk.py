"""An engine whose sessions are ready, and two strategies that only listen: a test asks for the first, or the second,
and answers as a venue.

Instruments 0 and 1 are Starbase's, which amends, quotes and cancels by its ids; 2 is the bridge's, which does none.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.loop import Status
from crosswire.engine.orders import send_requests, take_report
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import read_memory
from crosswire.nic.memory.struct import clear_struct
from crosswire.risk.ledger import mark_positions
from crosswire.risk.records import KINDS, VERSION, RecordKind
from crosswire.risk.trading_state import WHY_COUNT
from crosswire.strategies.desk import submit
from crosswire.venues.order import GTC, NOT_TOLD, Order, Report, ReportKind, is_open, open_lots
from crosswire.venues.order import is_unsettled_quote as is_unsettled
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.quotes import quoted_side
from crosswire.venues.starbase.orders.state import StarbaseSession, note_links
from tests.support.paths import ROOT

SECOND_NS = 1_000_000_000
# In place of the example's: the run is only to log on, and no throttle of the session is to be met.
CHANGES = {
    "seconds = 120": "seconds = 1",
    "events_per_second = 2_000": "events_per_second = 20",
    "orders_per_second = 40, burst = 20": "orders_per_second = 2000, burst = 200",
    "self_match_prevention_id = 1": "self_match_prevention_id = 1\ntokens_per_ms = 10_000\ntoken_burst = 1_000_000\n"
    "quote_tokens_per_ms = 10_000\nquote_token_burst = 1_000_000",
}
LISTENER = """
import msgspec

from crosswire import BuildContext, Desk, Order, Report, Strategy, catch_up, i64, on_fill, on_flattened, on_order

class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Listener(Strategy):
    fails: i64  # 1: when it is told of an order
    orders: i64
    caught_up: i64
    orders_then: i64  # when it last caught up
    requests_then: i64
    fills: i64
    lots: i64  # of the last fill
    flattened: i64  # times
    held_then: i64  # of the first instrument
    client_order_id: i64  # of the last order told
    exchange_order_id: i64
    instrument: i64
    venue: i64
    strategy: i64
    state: i64
    reason: i64
    amend_state: i64
    amend_reason: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Listener":
        return cls()


@on_order.register(Listener)
def hear_order(strategy: Listener, desk: Desk, order: Order) -> None:
    strategy.orders += 1
    if strategy.fails != 0:
        strategy.orders = strategy.orders // (strategy.fails - 1)
    strategy.client_order_id = order.client_order_id
    strategy.exchange_order_id = order.exchange_order_id
    strategy.instrument = order.instrument
    strategy.venue = order.venue
    strategy.strategy = order.strategy
    strategy.state = order.state
    strategy.reason = order.reason
    strategy.amend_state = order.amend_state
    strategy.amend_reason = order.amend_reason


@catch_up.register(Listener)
def note_catching_up(strategy: Listener, desk: Desk) -> None:
    strategy.caught_up += 1
    strategy.orders_then = strategy.orders
    strategy.requests_then = desk.request_count


@on_flattened.register(Listener)
def hear_flattened(strategy: Listener, desk: Desk) -> None:
    strategy.flattened += 1
    if strategy.fails != 0:
        strategy.flattened = strategy.flattened // (strategy.fails - 1)
    strategy.held_then = desk.positions[0].position_lots


@on_fill.register(Listener)
def hear_fill(strategy: Listener, desk: Desk, order: Order, report: Report) -> None:
    strategy.fills += 1
    strategy.lots = report.qty_lots
"""


def make_run(folder: Path) -> Run:
    """A run that has logged on to both venues."""
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=1)
    (folder / "examples").mkdir()
    (folder / "examples" / "listener.py").write_text(LISTENER)
    text = (ROOT / "examples" / "starbase.toml").read_text()
    for given, changed in CHANGES.items():
        assert given in text
        text = text.replace(given, changed)
    path = folder / "examples" / "run.toml"
    strategies = "".join(f'[[strategy]]\nname = "{name}"\nuse = "listener.py:Listener"\n' for name in ("one", "two"))
    path.write_text(f'name = "orders"\n{strategies}{text[text.index("[limits]") :]}')
    run = build_run(load_config(path), path)
    run.load()
    run.kept = MemoryJournal(run.engine.journal)  # type: ignore[attr-defined]
    while run.turn() == Status.STARVED:
        run.refill()
    return run


class OrderDesk:
    """What a test asks for, says in a venue's place, and looks at."""

    def __init__(self, run: Run) -> None:
        self.run, self.engine = run, run.engine
        self.gate, self.orders, self.desk = run.engine.gate, run.engine.orders, run.engine.seats[0].desk
        self.heard: Any = run.core.strategies[0]
        self.other_desk, self.other_heard = run.engine.seats[1].desk, run.core.strategies[1]
        self.reset()

    def reset(self) -> None:
        """Forget what an earlier test has left: its open orders have ended, and no alarm stands."""
        engine, gate = self.engine, self.gate
        self.later()
        for number in range(engine.venue_count):
            self.connect(number)
            gate.venues[number].session_state = SessionState.READY
            engine.venues[number].cancel_due = 0
            engine.venues[number].is_lost = engine.venues[number].differences = engine.venues[number].strangers = 0
        for instrument in range(2):
            for side in (BUY, SELL):
                clear_struct(quoted_side(self.run.parts[0].session, instrument, side))
        for order in self.open():
            self.say(order, ReportKind.CANCELLED)
        gate.alarms = gate.state = gate.why = 0
        for why in range(WHY_COUNT):
            gate.asked[why] = 0
        self.records()

    def connect(self, venue: int, state: SessionState = SessionState.READY) -> None:
        """Have a venue's session take what is to be sent, or not, of which the gate does not know yet."""
        session = self.run.parts[venue].session
        session.state = state
        for link in getattr(session, "links", []):
            link.state = state
        if isinstance(session, StarbaseSession):
            note_links(session)

    def later(self) -> int:
        """A second later, with books as young as they were."""
        self.now_ns = self.engine.state.now_ns = max(self.engine.state.now_ns + SECOND_NS, 1)
        for index in range(self.engine.market.count):
            self.gate.tops[index].receive_time_ns = self.now_ns
        mark_positions(self.gate, self.now_ns)
        return self.now_ns

    def price(self, instrument: int, side: int) -> int:
        """A price that trades with nobody."""
        top = self.gate.tops[instrument]
        return int(top.bid_ticks - 5 if side == BUY else top.ask_ticks + 5)

    def send(self) -> None:
        """Take what was asked for through the gate."""
        send_requests(self.engine, self.now_ns)
        assert self.desk.request_count == 0

    def order(self, instrument: int = 0, side: int = BUY, lots: int = 10, **changes: int) -> Order | None:
        """A new order; None if the strategy heard at once that it ended."""
        before = self.orders.counter
        price_ticks = changes.get("price", self.price(instrument, side))
        submit(self.desk, instrument, side, price_ticks, lots, changes.get("time_in_force", GTC))
        self.send()
        found = [each for each in self.open() if each.client_order_id >> 12 > before]
        return found[0] if found else None

    def live(self, *arguments: int, **changes: int) -> Order:
        """An order that the venue has acknowledged."""
        order = self.order(*arguments, **changes)
        assert order is not None
        self.say(order, ReportKind.ACK, exchange_order_id=1000 + order.client_order_id)
        return order

    def say(self, order: Order, kind: ReportKind, **values: int) -> None:
        """The venue says something of an order."""
        fields = {name: getattr(order, name) for name in ("venue", "client_order_id", "instrument", "side")}
        fields |= {"leaves_lots": NOT_TOLD, "filled_lots": NOT_TOLD, "exchange_order_id": order.exchange_order_id}
        if kind == ReportKind.FILL:
            last = self.orders.last_execution_ids[order.venue]
            fields |= {"execution_id": last + 1, "price_ticks": order.price_ticks}
        take_report(self.engine, Report(kind=kind, **(fields | values)), self.now_ns)

    def open(self) -> list[Order]:
        return [order for order in self.orders.orders if is_open(order)]

    def records(self) -> dict[str, int]:
        """How many records of each kind were written since the last time."""
        counted: Counter[str] = Counter()
        self.last: dict[str, dict[str, int]] = {}  # the last record of each kind
        for batch in read_memory(self.run.kept).batches():  # type: ignore[attr-defined]
            for kind, cls in KINDS.items():
                rows = batch.of(kind, cls, VERSION).tolist()
                counted[RecordKind(kind).name] += len(rows)
                if rows:
                    self.last[RecordKind(kind).name] = dict(zip(cls.fields, rows[-1], strict=True))
        new = counted - getattr(self, "counted", Counter())
        self.counted = counted
        return {name: count for name, count in new.items() if name not in ("SAMPLE", "BOOK", "IDS")}


def check_accounts(engine: Any) -> None:
    """What positions say is open is the sum over the orders."""
    lots: Counter[tuple[int, int]] = Counter()
    orders: Counter[int] = Counter()
    pending: Counter[int] = Counter()
    counts = [0] * engine.venue_count
    for order in engine.orders.orders:
        if is_open(order):
            counts[order.venue] += 1
            lots[order.instrument, order.side] += open_lots(order)
            orders[order.instrument] += 1
            pending[order.instrument] += is_unsettled(order)
    assert [engine.gate.venues[venue].open_orders for venue in range(engine.venue_count)] == counts
    assert engine.orders.count == sum(counts)
    for index in range(engine.market.count):
        own = [engine.seats[number].desk.positions[index] for number in range(engine.seat_count)]
        for positions in ([engine.gate.positions[index]], own):
            assert sum(each.open_buy_lots for each in positions) == lots[index, BUY]
            assert sum(each.open_sell_lots for each in positions) == lots[index, SELL]
            assert sum(each.open_orders for each in positions) == orders[index]
        assert engine.gate.positions[index].quotes_pending == pending[index]
