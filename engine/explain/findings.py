"""What sets a live run apart from a backtest of what it saw: each difference with its cause."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

ORDERS_SHOWN_MAX = 5
Money = dict[str, Fraction]  # 1e-9 of each settlement currency
TOGETHER_NS = 1_000_000_000  # differences of one cause at one venue that are no further apart are one finding


class Cause(StrEnum):
    """Why a live run and a backtest of what it saw differ."""

    REFUSED = "order refused by the venue"
    NOT_SENT = "order not sent: its ring had no slot"
    NOT_BELIEVED = "answer that can't be, not believed"
    SESSION_LOST = "order session lost"
    MARKET_DATA_LOST = "market data lost"
    LATE = "orders answered later than usual"
    LATENCY = "latency other than the model's"
    PRICE = "filled at another price than the model's"
    FEE = "charged another fee than the model's"
    QUEUE = "resting order filled otherwise than by the model's queue"
    ACCOUNT = "the venue's account is not ours"
    STATE = "trading stopped or restricted"
    STOOD_STILL = "the engine stood still"
    NOT_READY = "order session ready later than in the backtest"
    CARRIED = "began with what an earlier run has left"
    NOT_CAPTURED = "frames that are not in the capture"
    FOLLOWS = "other orders of the backtest, after the first difference above"
    UNKNOWN = "not explained"


@dataclass
class Finding:
    """One cause at one venue, within one span of time."""

    cause: Cause
    venue: str  # "": of all
    detail: str  # what of the kind: a reason, an instrument
    first_ns: int
    last_ns: int
    count: int = 1
    orders: list[int] = field(default_factory=list)  # ids, ORDERS_SHOWN_MAX at most
    text: str = ""  # the first one, in figures
    effect_e9: Money = field(default_factory=dict)  # on P&L: live less model, by settlement currency

    @property
    def is_explained(self) -> bool:
        """Tell whether a cause is known."""
        return self.cause != Cause.UNKNOWN


class Findings:
    """All of a run, gathered by cause, venue, detail and time."""

    def __init__(self) -> None:
        self._open: dict[tuple[Cause, str, str], Finding] = {}
        self.all: list[Finding] = []

    def add(
        self,
        cause: Cause,
        venue: str,
        time_ns: int,
        *,
        detail: str = "",
        order_id: int = 0,
        text: str = "",
        effect_e9: Money | None = None,
        until_ns: int = 0,
    ) -> Finding:
        """Add a difference, to an earlier one of the same cause that is near."""
        found = self._open.get((cause, venue, detail))
        if found is None or time_ns - found.last_ns > TOGETHER_NS:
            found = Finding(cause, venue, detail, time_ns, time_ns, 0, text=text)
            self._open[cause, venue, detail] = found
            self.all.append(found)
        found.count += 1
        found.last_ns = max(found.last_ns, time_ns, until_ns)
        if order_id and len(found.orders) < ORDERS_SHOWN_MAX:
            found.orders.append(order_id)
        add_money(found.effect_e9, effect_e9 or {})
        return found

    def in_order(self) -> list[Finding]:
        """List all in order of time, and last what follows from the others."""
        return sorted(self.all, key=lambda each: (each.cause == Cause.FOLLOWS, each.first_ns, each.venue))

    def near(self, cause: Cause, venue: str, time_ns: int, within_ns: int) -> Finding | None:
        """Find what of a cause was at a venue about then."""
        for each in self.all:
            if each.cause == cause and each.venue == venue:
                if each.first_ns - within_ns <= time_ns <= each.last_ns + within_ns:
                    return each
        return None


def add_money(sums_e9: Money, more_e9: Mapping[str, Fraction | int], sign: int = 1) -> None:
    """Add money to sums by currency; what is zero is left out."""
    for currency, amount in more_e9.items():
        total = sums_e9.get(currency, Fraction(0)) + sign * amount
        if total:
            sums_e9[currency] = total
        else:
            sums_e9.pop(currency, None)


def sum_money(parts: Iterable[Money]) -> Money:
    """Sum money by currency."""
    sums: Money = {}
    for part in parts:
        add_money(sums, part)
    return sums
