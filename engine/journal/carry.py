"""What a journal says that we have: positions, orders whose end is not known, ids, and where the sessions stood.

A run begins its journal with all of that as it found it, so the last journal of a name is all that a restart reads.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.engine.journal.decode import records_of
from crosswire.engine.journal.description import Description, description_of, read_description
from crosswire.engine.journal.text import Purpose, TextReader
from crosswire.engine.report.recorder import make_instrument
from crosswire.engine.runs import run_folders
from crosswire.nic.journal.files import FOLDER, salvage
from crosswire.nic.journal.reader import Batch, JournalError, JournalReader, read_journal
from crosswire.nic.memory.struct import Struct
from crosswire.risk.position import Position, add_fill
from crosswire.risk.records import ACCOUNT, KINDS, HoldingRecord, OrderCarried, RecordKind
from crosswire.venues.instrument import Instrument
from crosswire.venues.order import Applied, ReportKind, TimeInForce, is_alarm
from crosswire.venues.session import ResumedFill, SessionState

HELD = tuple(name for name in HoldingRecord.fields if name not in ("instrument", "strategy"))  # of a `Position`
ACCOUNT_NAME = ""  # of all strategies together
FILLS_CARRIED = 2_048  # of each venue: a frame has up to 2,000, and its number is written down behind the last of them
NO_NUMBERS = (0, 0, 0, 0)
Fields = dict[str, int]


@dataclass
class CarriedOrder:
    """An order whose end is not known."""

    instrument: str
    strategy: str
    terms: Fields  # of OrderCarried


@dataclass
class Difference:
    """A position that a venue had otherwise."""

    instrument: str
    ours_lots: int
    theirs_lots: int


@dataclass
class Carried:
    """All that outlives a run, by name."""

    folder: Path
    description: Description
    is_opened: bool = False  # everything that was taken over stands in the journal
    is_closed: bool = False  # its loop came to its end
    holdings: dict[tuple[str, str], Position] = field(default_factory=dict)  # by strategy and instrument
    orders: dict[int, CarriedOrder] = field(default_factory=dict)  # by client order id
    execution_ids: dict[str, int] = field(default_factory=dict)  # the last one, by venue
    reserved_id: int = 0  # order ids below may have been given
    numbers: dict[str, list[int]] = field(default_factory=dict)  # as `Session.numbers`, by venue
    lost: set[str] = field(default_factory=set)  # venues whose session could not go on where the run before had stopped
    quote_ids: dict[str, int] = field(default_factory=dict)  # of the last mass quote, by venue
    fills: dict[str, deque[ResumedFill]] = field(default_factory=dict)  # the last ones that a venue may tell again
    differences: list[Difference] = field(default_factory=list)
    doubts: dict[str, int] = field(default_factory=dict)  # what was not believed of a venue, until its account agrees

    def held_lots(self) -> dict[str, int]:
        """Give what all strategies together hold, by instrument; what is flat is left out."""
        return {
            instrument: position.position_lots
            for (strategy, instrument), position in self.holdings.items()
            if strategy == ACCOUNT_NAME and position.position_lots != 0
        }


class _Folding:
    """Takes a journal's records one after the other."""

    def __init__(self, carried: Carried) -> None:
        self.carried = carried
        description = carried.description
        self.infos = description.instruments
        self.venues = description.venues
        self.instruments: dict[int, Instrument] = {info.index: make_instrument(info) for info in self.infos}
        self.differing: set[str] = set()  # venues whose account, as far as it is told, is not ours
        self.take: dict[int, Callable[[Fields], None]] = {
            RecordKind.HOLDING: self.holding,
            RecordKind.ORDER_CARRIED: self.order,
            RecordKind.ORDER_SENT: self.order,
            RecordKind.NOT_SENT: self.not_sent,
            RecordKind.AMEND_SENT: self.amend,
            RecordKind.REPORT: self.report,
            RecordKind.ORDER_ENDED: self.ended,
            RecordKind.FILL: self.fill,
            RecordKind.SESSION: self.session,
            RecordKind.IDS: self.ids,
            RecordKind.EXECUTIONS: self.executions,
            RecordKind.EXECUTION_KNOWN: self.execution_known,
            RecordKind.DIFFERENCE: self.difference,
            RecordKind.DOUBT: self.doubt,
            RecordKind.OPENED: self.opened,
            RecordKind.CLOSED: self.closed,
        }

    def batch(self, batch: Batch) -> None:
        """Take a batch's records, in order."""
        for record in records_of(batch, self.take):
            self.take[record.kind](record.fields)

    def name_of(self, strategy: int) -> str:
        return ACCOUNT_NAME if strategy == ACCOUNT else self.carried.description.names.strategies[strategy]

    def position(self, strategy: int, instrument: int) -> Position:
        return self.carried.holdings.setdefault((self.name_of(strategy), self.infos[instrument].name), Position())

    def holding(self, record: Fields) -> None:
        position = self.position(record["strategy"], record["instrument"])
        for name in HELD:
            setattr(position, name, record[name])

    def order(self, record: Fields) -> None:
        order = CarriedOrder(self.infos[record["instrument"]].name, self.name_of(record["strategy"]), record)
        order.terms = dict.fromkeys(OrderCarried.fields, 0) | record
        self.carried.orders[record["client_order_id"]] = order
        venue = self.infos[record["instrument"]].venue
        if record["sequence"] != 0:
            numbers = self.carried.numbers.setdefault(venue, list(NO_NUMBERS))
            place = 2 * max(0, record["link"])
            numbers[place] = max(numbers[place], record["sequence"])
        self.carried.quote_ids[venue] = max(self.carried.quote_ids.get(venue, 0), record["quote_id"])

    def not_sent(self, record: Fields) -> None:
        order = self.carried.orders.get(record["client_order_id"])
        if not record["is_amend"]:
            self.carried.orders.pop(record["client_order_id"], None)
        elif order is not None:
            order.terms["amend_price_ticks"] = order.terms["amend_lots"] = 0

    def amend(self, record: Fields) -> None:
        order = self.carried.orders.get(record["client_order_id"])
        if order is not None:
            order.terms["amend_price_ticks"], order.terms["amend_lots"] = record["price_ticks"], record["qty_lots"]

    def report(self, record: Fields) -> None:
        self.believe(record)
        if record["report_kind"] == ReportKind.ACCOUNT_END:
            # All fills until then are in the position that the venue told.
            self.executions(record)
            return
        order = self.carried.orders.get(record["client_order_id"])
        if order is None:
            return
        terms, kind = order.terms, record["report_kind"]
        if record["outcome"] == Applied.CLOSED:
            del self.carried.orders[record["client_order_id"]]
        elif record["outcome"] != Applied.UPDATED:
            return
        elif kind == ReportKind.ACK:
            terms["exchange_order_id"], terms["queued"] = record["exchange_order_id"], record["queued"]
        elif kind == ReportKind.CONVERTED:
            terms["time_in_force"] = TimeInForce.IOC
        elif kind in (ReportKind.AMENDED, ReportKind.AMEND_REJECTED):
            terms["amend_price_ticks"] = terms["amend_lots"] = 0
            if kind == ReportKind.AMENDED:
                terms["price_ticks"], terms["qty_lots"] = record["price_ticks"], record["qty_lots"]
                terms["queued"] = record["queued"]

    def believe(self, record: Fields) -> None:
        """Doubt what we have at a venue that told what can't be, until it tells an account that is ours."""
        venue, is_account = self.venues[record["venue"]], record["report_kind"] >= ReportKind.OPEN
        if is_alarm(record["outcome"]):
            self.add_doubt(venue, is_account)
        if record["report_kind"] == ReportKind.ACCOUNT_END:
            if venue not in self.differing:
                self.carried.doubts.pop(venue, None)
            self.differing.discard(venue)

    def add_doubt(self, venue: str, is_account: bool) -> None:
        self.carried.doubts[venue] = self.carried.doubts.get(venue, 0) + 1
        if is_account:
            self.differing.add(venue)

    def doubt(self, record: Fields) -> None:
        self.carried.doubts[self.venues[record["venue"]]] = record["reports"]

    def ended(self, record: Fields) -> None:
        self.carried.orders.pop(record["client_order_id"], None)

    def fill(self, record: Fields) -> None:
        index = record["instrument"]
        told = (record["side"], record["price_ticks"], record["qty_lots"], record["fee_e9"])
        for strategy in (ACCOUNT, record["strategy"]):
            add_fill(self.position(strategy, index), self.instruments[index], *told)
        venue = self.infos[index].venue
        known = self.carried.execution_ids.get(venue, 0)
        self.carried.execution_ids[venue] = max(known, record["execution_id"])
        if record["match_id"] != 0:
            self.execution_known(record | {"venue": self.venues.index(venue)})
        order = self.carried.orders.get(record["client_order_id"])
        if order is not None:
            order.terms["filled_lots"] += record["qty_lots"]
            # What an amend without an answer asks for may be in force.
            if order.terms["filled_lots"] >= max(order.terms["qty_lots"], order.terms["amend_lots"]):
                del self.carried.orders[record["client_order_id"]]

    def session(self, record: Fields) -> None:
        names, venue = ("sent", "received", "sent_b", "received_b"), self.venues[record["venue"]]
        self.carried.numbers[venue] = [record[name] for name in names]
        # One that is lost for any other reason asks again, in the same run or in the next.
        if record["state"] == SessionState.LOST and record["is_resumed"]:
            self.carried.lost.add(venue)
        self.carried.quote_ids[venue] = max(self.carried.quote_ids.get(venue, 0), record["quote_id"])

    def ids(self, record: Fields) -> None:
        self.carried.reserved_id = record["reserved_id"]

    def execution_known(self, record: Fields) -> None:
        fills = self.carried.fills.setdefault(self.venues[record["venue"]], deque(maxlen=FILLS_CARRIED))
        fills.append(ResumedFill(record["execution_id"], record["match_id"], record["exchange_order_id"]))

    def executions(self, record: Fields) -> None:
        self.carried.execution_ids[self.venues[record["venue"]]] = record["execution_id"]

    def difference(self, record: Fields) -> None:
        name = self.infos[record["instrument"]].name
        self.add_doubt(self.infos[record["instrument"]].venue, is_account=True)
        self.carried.differences.append(Difference(name, record["ours_lots"], record["theirs_lots"]))

    def opened(self, _record: Fields) -> None:
        self.carried.is_opened = True

    def closed(self, _record: Fields) -> None:
        self.carried.is_closed = True


def fold(reader: JournalReader, folder: Path) -> Carried | None:
    """Read what a journal says that we have; None: it had not said yet what it is of. JournalError: it is damaged."""
    texts, folding = TextReader(), None
    for batch in reader.batches():
        if folding is None:
            texts.take(batch)
            if texts.text(Purpose.DESCRIPTION) is None:
                continue
            folding = _Folding(Carried(folder, description_of(texts, folder)))
        folding.batch(batch)
    reader.check()
    return folding.carried if folding is not None else None


def last_carried(parent: Path) -> Carried | None:
    """Read what the last run of a name has left; None: there was none. JournalError: it can't be read.

    A run that died before it had taken everything over has traded nothing, and what it began with is in the one before.
    """
    for folder in run_folders(parent):
        salvage(folder / FOLDER)
        try:
            description = read_description(folder / FOLDER)
            # A backtest's positions are nobody's, however long it was, and whatever became of its journal.
            if description is None or description.kind == "backtest":
                continue
            carried = fold(read_journal(folder / FOLDER), folder)
        except JournalError as error:
            raise JournalError(
                f"{error}; the positions of {parent.name} are not known: see docs/recovery.md, or move that folder away"
            ) from None
        if carried is not None and carried.is_opened:
            return carried
    return None


def kind_of(cls: type[Struct]) -> RecordKind:
    """Find the kind that a struct is the payload of."""
    return next(kind for kind, each in KINDS.items() if each is cls)
