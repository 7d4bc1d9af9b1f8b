"""Everything of one run, as the loop sees it."""

from collections.abc import Sequence
from typing import Annotated

from crosswire.engine.control.counters import StrategyCounters
from crosswire.engine.control.mailbox import Control
from crosswire.engine.seat import Seat
from crosswire.engine.venue import (
    Inbox,
    Venue,
)
from crosswire.nic.histogram import Histogram
from crosswire.nic.host.signals import set_words_on_signals
from crosswire.nic.journal.journal import Journal
from crosswire.nic.memory.struct import Array, Reference, Struct, address_of, i64
from crosswire.risk.gate import Gate
from crosswire.risk.records import INSTRUMENTS_MAX, STRATEGIES_MAX, TurnsRecord
from crosswire.risk.trading_state import TradingState, Why, ask_from_outside
from crosswire.venues.market import Market
from crosswire.venues.order import (
    VENUES_MAX,
    Approval,
    Approvals,
    OrderTable,
    Reports,
)


class LoopState(Struct):
    """The loop's own memory: what is being looked at, what was counted, what is due."""

    stop: i64  # set from another thread to end the run
    started: i64
    now_ns: i64
    turns: i64
    frames: i64
    orders_sent: i64
    cancels_sent: i64
    amends_sent: i64
    fills: i64
    slots_ended: i64  # of the order table, looked through for orders left open at the end of the data
    sample_interval_ns: i64
    sample_ns: i64  # when the next sample is due
    winding_down: i64  # set to 1: cancel everything; 2: asked for; set to 3: log out; 4: done
    leaving_why: i64  # Why
    strategy_failed: i64  # 1: in this turn; Python is to raise what that was
    first_ns: i64
    first_keep_ns: i64  # the earliest of the venues' `keep_ns`
    recorded_state: i64  # as the journal has it, `packed_state`
    tells_turns: i64  # 1: the journal is told of each turn that did something; a backtest's captures tell it all
    turn_count: i64  # that are still to be told
    told_turns: TurnsRecord
    told_sequence: i64  # of the last record that told some
    standstill_ns: i64  # a loop whose turns are further apart stood still; NEVER_NS: time jumps, that says nothing
    behind_ns: i64  # it stood still since then, and has not read all that waits in its rings; 0: it has
    woken_ns: i64  # when it went on
    frames_read: i64  # `frames`, as a turn found it that is behind
    empty_turns: i64  # in a row that found no frame
    standstills: i64
    standstill_longest_ns: i64
    theirs_lots: Annotated[Array, i64, INSTRUMENTS_MAX]  # positions as a venue is telling them
    told_lots: Annotated[Array, i64, INSTRUMENTS_MAX]  # as they were told last
    is_lost: Annotated[Array, i64, INSTRUMENTS_MAX]  # 1: the journal says of this instrument that it has no proven book
    approval: Approval
    quotes: Approvals  # of the mass quote being put together
    feed_latency: Histogram  # from the exchange's timestamp to the frame's, by book change
    order_round_trip: Histogram  # from the order's frame to its acknowledgement
    receive_to_send: Histogram  # live: from the poll that gave the trigger to the order being handed to its ring


class AccountMail(Struct):
    """What a venue says of our account beside its session, on its way to the loop: one part of it at a time."""

    is_full: i64  # set last by who has asked, cleared by the loop
    venue: i64
    has_positions: i64  # 0: the positions are not told
    reports: Reports


def turn_order(names: Sequence[str]) -> list[int]:
    """List the numbers of venues in the order in which a turn takes what is due of them at one time: by their names.

    Not as they stand in the configuration: what comes at one and the same time must not depend on that.
    """
    return sorted(range(len(names)), key=names.__getitem__)


class Engine(Struct):
    """Everything of one run."""

    state: LoopState
    inbox: Inbox
    market: Annotated[Market, Reference]
    gate: Annotated[Gate, Reference]
    orders: Annotated[OrderTable, Reference]
    journal: Annotated[Journal, Reference]
    venue_count: i64
    turn_order: Annotated[Array, i64, VENUES_MAX]  # venues by name: what is due at one time is taken in this order
    venues: Annotated[Array, Venue, VENUES_MAX]
    seat_count: i64
    seats: Annotated[Array, Seat, STRATEGIES_MAX]
    mail: AccountMail
    control: Control
    counters: StrategyCounters


def leave_on_signals(engine: Engine) -> None:
    """Have every signal that would end the process do what `begin_leaving` does, in whichever thread it comes to."""
    gate, state = address_of(engine.gate), address_of(engine.state)
    words = (
        (gate + Gate.fields["asked_from_outside"].offset, TradingState.CANCEL_ONLY),
        (state + LoopState.fields["leaving_why"].offset, Why.LEAVING),
        (state + LoopState.fields["winding_down"].offset, 1),  # last: the loop acts on it
    )
    set_words_on_signals(words, engine)


def is_leaving(engine: Engine) -> bool:
    """Tell whether the run has begun to end."""
    return bool(engine.state.winding_down != 0)


def begin_leaving(engine: Engine, why: Why = Why.LEAVING) -> None:
    """Have the loop send nothing more, and cancel everything at its next turn; from any thread."""
    ask_from_outside(engine.gate, TradingState.CANCEL_ONLY)
    if engine.state.winding_down == 0:
        engine.state.leaving_why = why
        engine.state.winding_down = 1
