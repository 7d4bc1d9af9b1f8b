"""How much may be traded: one state, what asked for it, and the one function that changes it.

    ACTIVE -> REDUCE_ONLY -> CANCEL_ONLY -> HALTED      each allows strictly less than the one before

Every reason has a state of its own that it asks for, and the worst of them holds: that a book is proven again never
lifts what a loss has brought about. Only BOOK_LOST goes back by itself, by its rule; what the operator asked for goes
back when the operator says so (`resume`); all others stay until the run is started again.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled


class TradingState(IntEnum):
    """What may be sent. A higher number allows strictly less."""

    ACTIVE = 0  # all that the limits allow
    REDUCE_ONLY = 1  # what makes a position smaller, and cancels
    CANCEL_ONLY = 2  # cancels
    HALTED = 3  # cancels; what venues say is booked, but nothing that we know is relied upon any more


class Why(IntEnum):
    """What asks for a state. Index into `StateMachine.asked`."""

    NONE = 0
    ALARM = 1  # a venue and we do not agree
    LOSS_LIMIT = 2
    LEAVING = 3  # the run is to end
    STRATEGY_FAILED = 4  # a strategy raised an error, or its records could not be kept
    BOOK_LOST = 5  # something is held whose value is not known any more
    BEYOND_PROVEN = 6  # more is held of an instrument than sums were proven for
    LEG_RISK = 7  # more is unhedged than allowed, or for longer
    DEAD_MAN = 8  # nobody has said for too long that somebody watches
    OPERATOR = 9  # a command (`engine/control`)


WHY_COUNT = len(Why)


class StateMachine(Struct):
    """The state of a gate. `asked_from_outside` is the one field that threads other than the loop's may write."""

    state: i64  # TradingState
    why: i64  # Why: the first reason that asked for this state, of those that still do
    since_ns: i64  # when `state` or `why` changed
    asked_from_outside: i64  # TradingState: holds at once, until the loop has made it `state`
    asked: Annotated[Array, i64, WHY_COUNT]  # TradingState, by reason
    asked_ns: Annotated[Array, i64, WHY_COUNT]  # since when
    changes: Annotated[Array, i64, WHY_COUNT]  # how often each reason asked for another state than before


@compiled
def change_state(gate: StateMachine, state: int, why: int, now_ns: int) -> bool:
    """Let a reason ask for a state; True if the state that holds is now a worse one: all open orders are to go.

    Nothing changes if it asks for that already, or for a better one that no rule gives back.
    """
    if state == gate.asked[why] or (state < gate.asked[why] and why != Why.BOOK_LOST):
        return False
    return _ask(gate, state, why, now_ns)


@compiled
def resume(gate: StateMachine, now_ns: int) -> bool:
    """Take back what the operator asked for, and nothing else; False: it asked for nothing."""
    if gate.asked[Why.OPERATOR] == TradingState.ACTIVE:
        return False
    _ask(gate, TradingState.ACTIVE, Why.OPERATOR, now_ns)
    return True


@compiled
def _ask(gate: StateMachine, state: int, why: int, now_ns: int) -> bool:
    gate.asked[why] = state
    gate.asked_ns[why] = now_ns
    gate.changes[why] += 1
    before, why_before = gate.state, gate.why
    worst: int = TradingState.ACTIVE
    worst_why: int = Why.NONE
    for number in range(WHY_COUNT):
        asked = gate.asked[number]
        if asked > worst or (asked == worst and asked != 0 and gate.asked_ns[number] < gate.asked_ns[worst_why]):
            worst = asked
            worst_why = number
    gate.state = worst
    gate.why = worst_why
    if worst != before or worst_why != why_before:
        gate.since_ns = now_ns
    return worst > before


@compiled
def ask_from_outside(gate: StateMachine, state: int) -> None:
    """Have nothing pass that `state` does not allow, from this instant on; from any thread, by one store.

    The loop's thread is the only one that may call `change_state`: it is to do so with the same state next.
    """
    gate.asked_from_outside = max(gate.asked_from_outside, state)


def state_text(gate: StateMachine) -> str:
    """Say in words what may be sent, and why no more."""
    state = TradingState(max(gate.state, gate.asked_from_outside)).name.lower().replace("_", " ")
    return state if gate.why == Why.NONE else f"{state} ({Why(gate.why).name.lower().replace('_', ' ')})"
