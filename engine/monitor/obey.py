"""What becomes of a request once it is admitted: answers read from the run, commands put into the loop's mailbox.

Only two things go the other way: `Attached.post`, into the mailbox, and nothing else. What trades or loosens is told in
words first, and done once the same client confirms just that.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from difflib import get_close_matches

from crosswire.engine.control.attach import Command
from crosswire.engine.control.mailbox import ACCEPTED, EVERY, CommandKind, Outcome
from crosswire.engine.control.parameters import numbers_of
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.admission import RefusedRequestError
from crosswire.engine.monitor.snapshot import Snapshot, is_limit, words
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.host.process import HostError
from crosswire.risk.trading_state import TradingState, Why

NAME_SHOWN_MAX = 100  # letters of what a client wrote, in an answer
NUMBER_LETTERS_MAX = 40
KINDS = {
    m.Pause: CommandKind.PAUSE,
    m.ReduceOnly: CommandKind.REDUCE_ONLY,
    m.Resume: CommandKind.RESUME,
    m.CancelAll: CommandKind.CANCEL_ALL,
    m.Flatten: CommandKind.FLATTEN,
    m.Kill: CommandKind.KILL,
    m.Set: CommandKind.SET,
}
DONE_TEXTS = {
    m.Pause: "paused: everything is cancelled, and nothing is sent but cancels until resume",
    m.ReduceOnly: "reduce only: everything is cancelled, and nothing is sent but what makes a position smaller",
    m.Resume: "resumed: what operators asked for is taken back",
    m.CancelAll: "cancelled; trading goes on",
    m.Flatten: "flattening has begun; the status tells how it goes on, and positions what is left",
    m.Kill: "killed: everything is cancelled, and the run ends",
    m.Set: "set: all values hold",
}
REFUSED_TEXTS = {
    Outcome.BAD_KIND: "the loop does not know this command",
    Outcome.BAD_SELECTOR: "the loop has no such venue, instrument or strategy",
    Outcome.BAD_COUNT: "the loop takes 1 to 64 values in a set, and none with another command",
    Outcome.BAD_PARAMETER: "the loop has no such parameter, or it stands there twice",
    Outcome.OUT_OF_RANGE: "a value is out of its range",
    Outcome.CONTRADICTION: "the values contradict each other, or what the limits were proven for",
    Outcome.LEAVING: "the run is ending",
    Outcome.FORBIDDEN: "something other than an operator allows nothing but cancels, so positions can't be closed",
}


class Obeying:
    """Answers the requests of one run."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    # ------------------------------------------------------------ reading

    def answer(self, request: m.Reading, status: Callable[[Snapshot], m.Status]) -> m.AnyAnswer:
        """Read what is asked for; `status` shows the run with what the monitor knows beside."""
        snapshot = self.snapshot
        match request:
            case m.GetStatus():
                return status(snapshot)
            case m.GetPositions():
                return snapshot.positions()
            case m.GetOrders():
                return snapshot.orders()
            case m.GetBooks(instruments=names, depth=depth):
                if not 1 <= depth <= m.BOOK_DEPTH_MAX:
                    raise RefusedRequestError(m.Reason.VALUE, f"depth = {depth}: must be 1 to {m.BOOK_DEPTH_MAX}")
                indices = [self._find(name, snapshot.names, "instrument") for name in names]
                return snapshot.books(indices or range(len(snapshot.names)), depth)
            case m.GetLimits():
                return snapshot.limits()
            case m.GetParameters():
                return snapshot.parameters()
            case m.GetLatencies():
                return snapshot.latencies()
            case _:
                return snapshot.sessions()

    def _find(self, name: str, names: Sequence[str], what: str) -> int:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise RefusedRequestError(m.Reason.UNKNOWN_NAME, f"there is no {what} {name[:NAME_SHOWN_MAX]}{hint}")
        return names.index(name)

    # ------------------------------------------------------------ commanding

    def to_confirm(self, request: m.Command) -> str:
        """Say what a command would do that is to be confirmed; "": it is done at once. RefusedRequestError."""
        if isinstance(request, m.Resume):
            return self._resume_text()
        if isinstance(request, m.Flatten):
            return self._flatten_text()
        if isinstance(request, m.Set):
            return self._set_text(request)
        self.command(request, "")  # what it selects must be there
        return ""

    def _resume_text(self) -> str:
        gate = self.snapshot.engine.gate
        asked = TradingState(gate.asked[Why.OPERATOR])
        if asked == TradingState.ACTIVE:
            return "take back what operators asked for, which is nothing"
        others = [Why(why) for why in Why if why != Why.OPERATOR and gate.asked[why] != TradingState.ACTIVE]
        stays = [f"{words(TradingState(gate.asked[why]), TradingState)} ({words(why, Why)})" for why in others]
        then = f"what else was asked for stays: {', '.join(stays)}" if stays else "the strategies trade again"
        return f"take back {words(asked, TradingState)}, asked for by operators; {then}"

    def _flatten_text(self) -> str:
        snapshot = self.snapshot
        flatten = snapshot.engine.control.flatten
        held = [
            f"{row.position:+f} {row.size_currency} of {row.instrument}"
            for row in snapshot.positions().rows
            if row.position_lots != 0
        ]
        band = f"{Decimal(flatten.band_e9) / 100_000:f} bps"
        return (
            f"cancel everything and close {', '.join(held) or 'nothing: no position is held now'}, by"
            f" immediate-or-cancel orders up to {band} through the opposite best, every"
            f" {flatten.interval_ns // NS_PER_MS} ms, {flatten.tries_max} times at most; then reduce only"
        )

    def _set_text(self, request: m.Set) -> str:
        """Say what would change, unless it only tightens limits."""
        self._items(request)
        now = {row.name: row for row in self.snapshot.parameters().rows}
        wanted = {name: decimal(name, text) for name, text in request.values.items()}
        if all(is_limit(name) and value <= now[name].value for name, value in wanted.items()):
            return ""
        changes = [f"{name} from {now[name].value:f} to {value:f} {now[name].unit}" for name, value in wanted.items()]
        return f"set {', '.join(changes)}"

    def _items(self, request: m.Set) -> list[tuple[int, int]]:
        if not 1 <= len(request.values) <= m.SET_VALUES_MAX:
            raise RefusedRequestError(m.Reason.VALUE, f"a set has 1 to {m.SET_VALUES_MAX} values")
        names = [row.name for row in self.snapshot.parameters().rows]
        for name in request.values:
            self._find(name, names, "parameter")
        try:
            return numbers_of(
                self.snapshot.engine, [(name, decimal(name, text)) for name, text in request.values.items()]
            )
        except (ValueError, ArithmeticError) as error:
            raise RefusedRequestError(m.Reason.VALUE, str(error)) from None

    def command(self, request: m.Command, client: str) -> Command:
        """Make what is put into the mailbox. RefusedRequestError: it names what there is not."""
        kind = KINDS[type(request)]
        if isinstance(request, m.Set):
            return Command(kind, client, items=self._items(request))
        if not isinstance(request, m.CancelAll):
            return Command(kind, client)
        snapshot = self.snapshot
        venues = [venue.name for venue in snapshot.config.venue]
        return Command(
            kind,
            client,
            venue=self._find(request.venue, venues, "venue") if request.venue else EVERY,
            instrument=self._find(request.instrument, snapshot.names, "instrument") if request.instrument else EVERY,
            strategy=self._find(request.strategy, snapshot.strategies, "strategy") if request.strategy else EVERY,
        )

    def obey(self, request: m.Command, client: str, patience_s: float) -> m.Done:
        """Put a command into the mailbox and wait for what the loop makes of it. RefusedRequestError."""
        command = self.command(request, client)
        try:
            answer = self.snapshot.run.post(command, patience_s)
        except HostError as error:
            raise RefusedRequestError(m.Reason.NO_ANSWER, f"{error}: whether it was done is not known") from None
        if answer.outcome not in ACCEPTED:
            raise RefusedRequestError(m.Reason.ENGINE, REFUSED_TEXTS[answer.outcome])
        if answer.outcome == Outcome.UNCHANGED:
            return m.Done("nothing changes: it was so already, or stricter")
        return m.Done(DONE_TEXTS[type(request)])


def decimal(name: str, text: str) -> Decimal:
    """Read a number. RefusedRequestError: it is none."""
    try:
        value = Decimal(text) if len(text) <= NUMBER_LETTERS_MAX else Decimal("nan")
    except ArithmeticError:
        value = Decimal("nan")
    if not value.is_finite() or abs(value.adjusted()) > NUMBER_LETTERS_MAX:
        raise RefusedRequestError(m.Reason.VALUE, f"{name} = {text[:NAME_SHOWN_MAX]}: is no number")
    return value
