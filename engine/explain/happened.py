"""What a live run's journal says happened to it that happens in no backtest."""

from crosswire.engine.explain.findings import Cause, Findings
from crosswire.engine.explain.reading import Told
from crosswire.engine.journal.decode import Record
from crosswire.risk.records import RecordKind
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.order import Applied
from crosswire.venues.session import SessionState

ALARM_NS = 1_000_000  # an alarm is of the turn in which its reason was heard


def find_happened(told: Told, findings: Findings, until_ns: int) -> None:
    """Add all that the journal tells; of market data what was lost before the run began to end."""
    find_losses_of_books(told, findings, until_ns)
    find_losses_of_sessions(told, findings)
    find_disbelieved(told, findings)
    find_states(told, findings)
    find_standstills(told, findings)
    for record in told.of(RecordKind.HOLDING):
        if record.fields["strategy"] < 0 and record.fields["position_lots"]:
            info = told.description.instruments[record.fields["instrument"]]
            text = f"{record.fields['position_lots']:+} lots of {info.name}"
            findings.add(Cause.CARRIED, info.venue, record.time_ns, detail=info.name, text=text)


def find_losses_of_books(told: Told, findings: Findings, end_ns: int) -> None:
    """Add each loss of a book, until it was proven again."""
    lost: dict[int, Record] = {}
    for record in told.of(RecordKind.BOOK):
        index = record.fields["instrument"]
        if not record.fields["valid"] and record.time_ns < end_ns:
            lost.setdefault(index, record)
        elif index in lost:
            add_lost_book(told, findings, lost.pop(index), record.time_ns)
    for record in lost.values():
        add_lost_book(told, findings, record, told.records[-1].time_ns)


def add_lost_book(told: Told, findings: Findings, record: Record, until_ns: int) -> None:
    """Add one loss of a book."""
    info = told.description.instruments[record.fields["instrument"]]
    text = f"the book of {info.name} was not proven for {(until_ns - record.time_ns) / 1e6:,.1f} ms"
    findings.add(Cause.MARKET_DATA_LOST, info.venue, record.time_ns, text=text, until_ns=until_ns)


def find_losses_of_sessions(told: Told, findings: Findings) -> None:
    """Add each loss of an order session, until it was ready again."""
    lost: dict[int, Record] = {}
    for record in told.of(RecordKind.SESSION):
        venue, state = record.fields["venue"], record.fields["state"]
        if state == SessionState.LOST:
            lost.setdefault(venue, record)
        elif state in (SessionState.READY, SessionState.ENDED) and venue in lost:
            add_lost_session(told, findings, lost.pop(venue), record.time_ns, "ready again")
    for record in lost.values():
        add_lost_session(told, findings, record, told.records[-1].time_ns, "the run ended")


def add_lost_session(told: Told, findings: Findings, record: Record, until_ns: int, then: str) -> None:
    """Add one loss of a session."""
    venue = told.description.venues[record.fields["venue"]]
    text = f"{(until_ns - record.time_ns) / 1e6:,.1f} ms until {then}"
    findings.add(Cause.SESSION_LOST, venue, record.time_ns, text=text, until_ns=until_ns)


def find_disbelieved(told: Told, findings: Findings) -> None:
    """Add what a venue said of no order of ours, or of its account; of orders of ours the judge tells."""
    sent = {record.fields["client_order_id"] for record in told.of(RecordKind.ORDER_SENT)}
    for record in told.of(RecordKind.REPORT):
        fields = record.fields
        if fields["outcome"] >= Applied.UNKNOWN_ORDER and fields["client_order_id"] not in sent:
            named = Applied(fields["outcome"]).name.lower()
            venue = told.description.venues[fields["venue"]]
            findings.add(Cause.NOT_BELIEVED, venue, record.time_ns, detail=named, text=named.replace("_", " "))
    for record in told.of(RecordKind.DIFFERENCE):
        fields = record.fields
        info = told.description.instruments[fields["instrument"]]
        text = f"{info.name}: {fields['theirs_lots']} lots there, {fields['ours_lots']} here"
        findings.add(Cause.ACCOUNT, info.venue, record.time_ns, detail=info.name, text=text)


def find_states(told: Told, findings: Findings) -> None:
    """Add each change for the worse of what may be sent, but for the run's own end and what was added already."""
    worst = TradingState.ACTIVE
    alarms = [r.time_ns for r in told.of(RecordKind.REPORT) if r.fields["outcome"] >= Applied.UNKNOWN_ORDER]
    alarms += [r.time_ns for r in told.of(RecordKind.DIFFERENCE)]
    alarms += [r.time_ns for r in told.of(RecordKind.SESSION) if r.fields["state"] == SessionState.LOST]
    for record in told.of(RecordKind.STATE):
        state, why = TradingState(record.fields["state"]), Why(record.fields["why"])
        is_worse, worst = state > worst, state
        if not is_worse or why == Why.LEAVING:
            continue
        if why == Why.ALARM and any(abs(record.time_ns - each) <= ALARM_NS for each in alarms):
            continue
        text = f"{state.name.lower().replace('_', ' ')}: {why.name.lower().replace('_', ' ')}"
        findings.add(Cause.STATE, "", record.time_ns, detail=why.name.lower(), text=text)


def find_standstills(told: Told, findings: Findings) -> None:
    """Add each time that the engine stood still: what it read then counted as old."""
    for record in told.of(RecordKind.STANDSTILL):
        if not record.fields["is_over"]:
            since_ns = record.fields["since_ns"]
            text = f"for {(record.time_ns - since_ns) / 1e6:,.1f} ms"
            findings.add(Cause.STOOD_STILL, "", since_ns, text=text, until_ns=record.time_ns)


def leaving_ns(told: Told) -> int:
    """Tell when the run began to end; far ahead if it did not."""
    return next((record.time_ns for record in told.of(RecordKind.STATE) if record.fields["leaving"]), 1 << 62)


def ready_ns(records: list[Record], venues: int) -> list[int]:
    """Tell when each venue's session was ready first, 0: never."""
    ready = [0] * venues
    for record in records:
        if record.kind == RecordKind.SESSION and record.fields["state"] == SessionState.READY:
            venue = record.fields["venue"]
            ready[venue] = ready[venue] or record.time_ns
    return ready
