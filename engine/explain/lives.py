"""What became of each order, by a journal's records: of the live run, or of a backtest."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from crosswire.engine.journal.decode import Record
from crosswire.risk.records import RecordKind
from crosswire.venues.order import Applied, OrderState, RejectReason, ReportKind

Fields = dict[str, int]


@dataclass
class Life:
    """One order that was sent."""

    place: int  # among all orders that were sent
    sent_ns: int
    terms: Fields  # of OrderSent
    was_refused_slot: bool = False  # written as sent, and its ring had no room
    acked_ns: int = 0
    ended_ns: int = 0  # 0: its end is not known
    state: int = OrderState.PENDING_NEW
    reason: int = RejectReason.NONE
    fills: list[Fields] = field(default_factory=list)
    disbelieved: list[int] = field(default_factory=list)  # Applied, of reports that were an alarm

    @property
    def order_id(self) -> int:
        """The order's id."""
        return self.terms["client_order_id"]

    @property
    def instrument(self) -> int:
        """Its instrument's market index."""
        return self.terms["instrument"]

    @property
    def venue(self) -> int:
        """Its venue's number."""
        return self.terms["venue"]

    @property
    def filled_lots(self) -> int:
        """Sum of its fills."""
        return sum(fill["qty_lots"] for fill in self.fills)

    @property
    def answered_ns(self) -> int:
        """When the venue's first answer was taken, 0: there was none."""
        times = [self.acked_ns, self.ended_ns if self.state != OrderState.PENDING_NEW else 0]
        times += [fill["time_ns"] for fill in self.fills]
        return min((each for each in times if each), default=0)

    @property
    def round_trip_ns(self) -> int:
        """Time from the order to the venue's first answer, 0: there was none."""
        return self.answered_ns - self.sent_ns if self.answered_ns else 0

    def by_price(self) -> dict[int, tuple[int, int]]:
        """Sum up lots and fees of the fills at each price."""
        sums: dict[int, tuple[int, int]] = {}
        for fill in self.fills:
            lots, fees_e9 = sums.get(fill["price_ticks"], (0, 0))
            sums[fill["price_ticks"]] = lots + fill["qty_lots"], fees_e9 + fill["fee_e9"]
        return sums


@dataclass
class Lives:
    """All orders of one run, and fills of none of them."""

    orders: dict[int, Life] = field(default_factory=dict)  # by id, in the order sent
    strange_fills: list[Fields] = field(default_factory=list)  # of orders that the run did not send

    def in_order(self) -> list[Life]:
        """List the orders as they were sent."""
        return list(self.orders.values())

    def all_fills(self) -> list[Fields]:
        """List every fill."""
        return [fill for life in self.orders.values() for fill in life.fills] + self.strange_fills


def lives_of(records: Iterable[Record]) -> Lives:
    """Tell the lives of the orders in these records."""
    lives = Lives()
    for record in records:
        fields, life = record.fields, lives.orders.get(record.fields.get("client_order_id", 0))
        if record.kind == RecordKind.ORDER_SENT:
            lives.orders[fields["client_order_id"]] = Life(len(lives.orders), record.time_ns, fields)
        elif record.kind == RecordKind.FILL:
            (life.fills if life else lives.strange_fills).append(fields)
        elif life is None:
            continue
        elif record.kind == RecordKind.NOT_SENT:
            life.was_refused_slot = life.was_refused_slot or not fields["is_amend"]
        elif record.kind == RecordKind.REPORT:
            if fields["outcome"] >= Applied.UNKNOWN_ORDER:
                life.disbelieved.append(fields["outcome"])
            elif fields["report_kind"] == ReportKind.ACK and life.acked_ns == 0:
                life.acked_ns, life.state = record.time_ns, OrderState.LIVE
        elif record.kind == RecordKind.ORDER_ENDED:
            life.ended_ns = record.time_ns
            life.state, life.reason = fields["state"], fields["reason"]
    return lives
