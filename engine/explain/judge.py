"""Why an order fared otherwise with the venue than with the simulated exchange that had the same order."""

from dataclasses import dataclass, field
from statistics import median

from crosswire.engine.explain.findings import Cause, Finding, Findings, Money, add_money
from crosswire.engine.explain.lives import Life, Lives
from crosswire.engine.explain.valuing import Valuing
from crosswire.venues.order import Applied, OrderState, RejectReason, TimeInForce
from crosswire.venues.side import BUY

LATE_NS_MIN = 20_000  # a round trip that is longer by less can't be told from the loop's own turns; nothing is gone by
LATE_PART = 4  # nor one that is longer by less than this part of the model's
TAKEN_NS = 1_000_000_000  # that a level may lack what an order took: then the market has changed it
NEAR_NS = 50_000_000  # of a loss of market data: an order that left before it may arrive behind it
RESTING = (TimeInForce.GTC, TimeInForce.POST_ONLY)
NO_BOOK = (RejectReason.BOOK_NOT_READY,)


@dataclass
class Trips:
    """How much longer the round trips to a venue were than the model's."""

    model_ns: int = 0  # median
    usual_ns: int = 0  # median of what they were longer by
    over_ns: list[int] = field(default_factory=list)

    @property
    def tolerance_ns(self) -> int:
        """Difference that means nothing."""
        return max(LATE_NS_MIN, self.model_ns // LATE_PART)

    @property
    def is_other(self) -> bool:
        """Tell whether the model's latency is another than the usual one."""
        return abs(self.usual_ns) > self.tolerance_ns

    def is_late(self, over_ns: int) -> bool:
        """Tell whether a round trip was longer than is usual there."""
        return over_ns - self.usual_ns > self.tolerance_ns


def measure_trips(pairs: list[tuple[Life, Life | None]], venues: int) -> list[Trips]:
    """Measure the round trips to each venue."""
    trips = []
    for number in range(venues):
        both = [
            (one, other)
            for one, other in pairs
            if other is not None and one.venue == number and one.round_trip_ns and other.round_trip_ns
        ]
        if not both:
            trips.append(Trips())
            continue
        over = [one.round_trip_ns - other.round_trip_ns for one, other in both]
        trips.append(Trips(int(median(other.round_trip_ns for _, other in both)), int(median(over)), over))
    return trips


class Judge:
    """Judges every order that a run has sent."""

    def __init__(self, findings: Findings, valuing: Valuing, venues: list[str]) -> None:
        self.findings, self.valuing, self.venues = findings, valuing, venues
        self.trips: list[Trips] = []
        self._taken: dict[tuple[int, int], tuple[int, Finding]] = {}  # when, and why, by instrument and side

    def judge_all(self, live: Lives, model: Lives) -> None:
        """Judge the orders, and fills of orders that the run did not send."""
        again = {life.terms["trade_id"] - 1: life for life in model.in_order()}
        pairs = [(life, again.get(life.place)) for life in live.in_order()]
        self.trips = measure_trips(pairs, len(self.venues))
        for number, trips in enumerate(self.trips):
            if trips.is_other:
                first = next(one for one, _ in pairs if one.venue == number)
                self.findings.add(Cause.LATENCY, self.venues[number], first.sent_ns, text=latency_text(trips))
        for life, other in pairs:
            if not life.terms["is_quote"]:
                self.judge(life, other)
        for fill in live.strange_fills:
            venue = self.venues[self.valuing.instruments[fill["instrument"]].venue]
            effect = self.valuing.fills_e9([fill])
            self.findings.add(Cause.NOT_BELIEVED, venue, fill["time_ns"], text="a fill of no order", effect_e9=effect)

    def judge(self, life: Life, other: Life | None) -> None:
        """Judge one order."""
        found = self.cause_of(life, other)
        if found is None:
            return
        cause, detail, text = found
        effect: Money = {}
        add_money(effect, self.valuing.fills_e9(life.fills))
        add_money(effect, self.valuing.fills_e9(other.fills if other else []), -1)
        known = self.led_by(cause, life)
        if known is None:
            venue, end_ns = self.venues[life.venue], max(life.ended_ns, life.answered_ns)
            known = self.findings.add(
                cause, venue, life.sent_ns, detail=detail, order_id=life.order_id, text=text, until_ns=end_ns
            )
        add_money(known.effect_e9, effect)
        if life.by_price() != (other.by_price() if other else {}):
            self._taken[life.instrument, life.terms["side"]] = life.sent_ns, known

    def led_by(self, cause: Cause, life: Life) -> Finding | None:
        """Find the earlier difference that an order's belongs to.

        What one order took of a book, on one side only, the next one finds there no more, or still.
        """
        venue = self.venues[life.venue]
        if cause == Cause.MARKET_DATA_LOST:
            return self.findings.near(cause, venue, life.sent_ns, NEAR_NS)
        if cause == Cause.LATENCY and self.trips[life.venue].is_other:
            return self.findings.near(cause, venue, life.sent_ns, 1 << 62)
        taken_ns, finding = self._taken.get((life.instrument, life.terms["side"]), (0, None))
        is_of_fills = cause in (Cause.UNKNOWN, Cause.PRICE, Cause.QUEUE)
        return finding if is_of_fills and life.sent_ns - taken_ns <= TAKEN_NS else None

    def cause_of(self, life: Life, other: Life | None) -> tuple[Cause, str, str] | None:
        """Name what set it apart: (cause, what of it, in figures); None: nothing did."""
        if life.was_refused_slot:
            return Cause.NOT_SENT, "", f"{terms_text(life)}: the transmit ring had no slot"
        if life.disbelieved:
            named = Applied(life.disbelieved[0]).name.lower()
            return Cause.NOT_BELIEVED, named, f"{terms_text(life)}: {named.replace('_', ' ')}"
        if other is None or other.state == OrderState.VETOED or other.was_refused_slot:
            return Cause.UNKNOWN, "", f"{terms_text(life)}: the backtest could not send it"
        if life.state == OrderState.REJECTED and (other.state, other.reason) != (life.state, life.reason):
            named = RejectReason(life.reason).name.lower()
            return Cause.REFUSED, named, f"{terms_text(life)}: {named}; the model {outcome_text(other)}"
        if other.state == OrderState.REJECTED and life.state != OrderState.REJECTED:
            if other.reason in NO_BOOK and self.is_lost_near(life):
                return Cause.MARKET_DATA_LOST, "", ""
            named = RejectReason(other.reason).name.lower()
            return Cause.UNKNOWN, named, f"{terms_text(life)}: {outcome_text(life)}; the model refused it: {named}"
        if life.ended_ns == 0 or life.reason == RejectReason.SESSION_LOST:
            if life.by_price() == other.by_price() and other.ended_ns == 0:
                return None
            return Cause.SESSION_LOST, "", f"{terms_text(life)}: its end was not told; the model {outcome_text(other)}"
        return self.cause_of_fills(life, other)

    def is_lost_near(self, life: Life) -> bool:
        """Tell whether market data of the order's venue was lost about then."""
        venue = self.venues[life.venue]
        return self.findings.near(Cause.MARKET_DATA_LOST, venue, life.sent_ns, NEAR_NS) is not None

    def cause_of_fills(self, life: Life, other: Life) -> tuple[Cause, str, str] | None:
        """Name why an order that both took was filled otherwise, or answered later."""
        ours, theirs = life.by_price(), other.by_price()
        trips = self.trips[life.venue]
        over_ns = life.round_trip_ns - other.round_trip_ns if life.round_trip_ns and other.round_trip_ns else 0
        is_late = trips.is_late(over_ns)
        both = f"{terms_text(life)}: {outcome_text(life)}; the model {outcome_text(other)}"
        if is_late:
            late = f"{terms_text(life)}: answered {over_ns / 1000:,.0f} us later than by the model"
            return Cause.LATE, "", late if ours == theirs else f"{both}; answered {over_ns / 1000:,.0f} us later"
        if ours == theirs:
            return None
        if {price: lots for price, (lots, _) in ours.items()} == {price: lots for price, (lots, _) in theirs.items()}:
            return Cause.FEE, "", both
        if life.terms["time_in_force"] in RESTING and life.filled_lots != other.filled_lots:
            return Cause.QUEUE, "", both
        if trips.is_other or abs(over_ns) > LATE_NS_MIN:
            return Cause.LATENCY, "", f"{both}; answered {over_ns / 1000:+,.0f} us"
        if life.filled_lots == other.filled_lots:
            return Cause.PRICE, better_or_worse(life, other), both
        return Cause.UNKNOWN, "fills", both


def better_or_worse(life: Life, other: Life) -> str:
    """Tell whether the venue's prices were better for us than the model's."""

    def paid(one: Life) -> int:
        return sum(fill["price_ticks"] * fill["qty_lots"] for fill in one.fills)

    return "better" if (paid(life) < paid(other)) == (life.terms["side"] == BUY) else "worse"


def terms_text(life: Life) -> str:
    """Show an order's terms."""
    side = "buy" if life.terms["side"] == BUY else "sell"
    return f"{side} {life.terms['qty_lots']} at {life.terms['price_ticks']}"


def outcome_text(life: Life) -> str:
    """Show what became of an order."""
    if life.state == OrderState.REJECTED:
        return f"refused it ({RejectReason(life.reason).name.lower()})"
    fills = ", ".join(f"{lots} at {price}" for price, (lots, _) in sorted(life.by_price().items()))
    return f"filled {fills}" if fills else "filled nothing"


def latency_text(trips: Trips) -> str:
    """Show a venue's usual round trip beside the model's."""
    measured = (trips.model_ns + trips.usual_ns) / 1000
    return f"round trip {measured:,.0f} us, by the model {trips.model_ns / 1000:,.0f} us"
