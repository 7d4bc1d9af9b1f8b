"""What the loop does with a command: look whether there is one, judge its copy, write it down, carry it out, answer.

All of it in one turn, between two frames, and nothing of it waits. What a command can bring about is what the loop
does anyway: a reason of its own for a trading state, cancels, orders that pass the gate, the end of the run.
"""

from crosswire.engine.cancels import cancel_everything, cancel_selected, send_due_cancel
from crosswire.engine.control.flatten import begin_flatten, forget_flatten, go_on_flattening, stop_flatten
from crosswire.engine.control.mailbox import (
    CLIENT_BYTES,
    EVERY,
    ITEMS_MAX,
    LOOK_NS,
    Command,
    CommandKind,
    Flattening,
    Mailbox,
    Outcome,
)
from crosswire.engine.control.set_values import judge_values, set_values, strategies_changed
from crosswire.engine.orders import send_requests
from crosswire.engine.records import record_command
from crosswire.engine.seat import tell_parameters
from crosswire.engine.state import Engine
from crosswire.nic.memory.raw import copy_bytes, load_i64_acquire, store_i64_release
from crosswire.nic.memory.struct import address_of, copy_struct, view
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled, outlined
from crosswire.risk.trading_state import WHY_COUNT, TradingState, Why, change_state, resume


@outlined
def hear_operator(engine: Engine, now_ns: int) -> int:
    """Look whether there is a command, if that is due; return when it is next, NEVER_NS in a run that hears none."""
    control = engine.control
    if control.mailbox == 0:
        return NEVER_NS
    if now_ns >= control.look_ns:
        control.look_ns = now_ns + LOOK_NS
        look_at_mailbox(engine, now_ns)
    return control.look_ns


@compiled
def look_at_mailbox(engine: Engine, now_ns: int) -> None:
    """Take the command that is there, if any, and go on with a FLATTEN that is on."""
    control = engine.control
    mailbox = view(Mailbox, control.mailbox)
    number = load_i64_acquire(address_of(mailbox.number))
    if number != control.seen:
        control.seen = number
        # Whoever writes there may go on writing: from here on only the copy counts.
        copy_struct(control.command, mailbox.command)
        obey(engine, now_ns)
        mailbox.outcome = control.outcome
        mailbox.detail = control.detail
        store_i64_release(address_of(mailbox.answered), number)
    if control.flatten.state == Flattening.ON and now_ns >= control.flatten.due_ns:
        go_on_flattening(engine, now_ns)


@compiled
def obey(engine: Engine, now_ns: int) -> None:
    """Judge the command, write it down, and carry it out."""
    control = engine.control
    control.detail = 0
    control.outcome = judge(engine, control.command)
    control.outcomes[control.outcome] += 1
    record_command(engine, now_ns)
    if control.outcome == Outcome.DONE or control.outcome == Outcome.BEGUN:
        carry_out(engine, control.command, now_ns)


@compiled
def judge(engine: Engine, command: Command) -> int:
    """Say what will become of a command. Every number of it may be anything."""
    kind = command.kind
    if kind < CommandKind.PAUSE or kind > CommandKind.SET:
        return Outcome.BAD_KIND
    if kind == CommandKind.SET:
        if command.item_count < 1 or command.item_count > ITEMS_MAX:
            return Outcome.BAD_COUNT
    elif command.item_count != 0:
        return Outcome.BAD_COUNT
    if not has_selected(engine, command):
        return Outcome.BAD_SELECTOR
    if engine.state.winding_down != 0:
        return Outcome.LEAVING
    if kind == CommandKind.PAUSE or kind == CommandKind.REDUCE_ONLY or kind == CommandKind.RESUME:
        return judge_state(engine, kind)
    if kind == CommandKind.FLATTEN:
        return judge_flatten(engine)
    if kind == CommandKind.SET:
        return judge_values(engine.control)
    return Outcome.DONE


@compiled
def has_selected(engine: Engine, command: Command) -> bool:
    """Tell whether a command's selectors name what there is; only CANCEL_ALL has any."""
    venue, instrument, strategy = command.venue, command.instrument, command.strategy
    if command.kind != CommandKind.CANCEL_ALL:
        return venue == EVERY and instrument == EVERY and strategy == EVERY
    return (
        EVERY <= venue < engine.venue_count
        and EVERY <= instrument < engine.market.count
        and EVERY <= strategy < engine.seat_count
    )


@compiled
def judge_state(engine: Engine, kind: int) -> int:
    """Say what becomes of a command for a trading state: a stricter one stays."""
    asked = engine.gate.asked[Why.OPERATOR]
    wanted: int = TradingState.ACTIVE
    if kind == CommandKind.PAUSE:
        wanted = TradingState.CANCEL_ONLY
    elif kind == CommandKind.REDUCE_ONLY:
        wanted = TradingState.REDUCE_ONLY
    if kind == CommandKind.RESUME:
        return Outcome.UNCHANGED if asked == TradingState.ACTIVE else Outcome.DONE
    return Outcome.UNCHANGED if asked >= wanted else Outcome.DONE


@compiled
def judge_flatten(engine: Engine) -> int:
    """Say whether positions may be traded away: not while something else than the operator allows cancels only."""
    if engine.control.flatten.state == Flattening.ON:
        return Outcome.UNCHANGED
    for why in range(WHY_COUNT):
        if why != Why.OPERATOR and engine.gate.asked[why] >= TradingState.CANCEL_ONLY:
            return Outcome.FORBIDDEN
    return Outcome.BEGUN


@compiled
def carry_out(engine: Engine, command: Command, now_ns: int) -> None:
    """Do what was judged and written down."""
    kind = command.kind
    if kind == CommandKind.PAUSE:
        stop_flatten(engine, now_ns)
        restrict(engine, TradingState.CANCEL_ONLY, now_ns)
    elif kind == CommandKind.REDUCE_ONLY:
        restrict(engine, TradingState.REDUCE_ONLY, now_ns)
    elif kind == CommandKind.RESUME:
        stop_flatten(engine, now_ns)
        forget_flatten(engine)
        resume(engine.gate, now_ns)
    elif kind == CommandKind.CANCEL_ALL:
        cancel_what_is_selected(engine, command, now_ns)
    elif kind == CommandKind.FLATTEN:
        begin_flatten(engine, now_ns)
    elif kind == CommandKind.KILL:
        kill(engine, command)
    else:
        set_values(engine.control)
        tell_changed(engine, now_ns)


@compiled
def tell_changed(engine: Engine, now_ns: int) -> None:
    """Let the strategies whose parameters were set derive what depends on them; what they ask for is sent."""
    changed = strategies_changed(engine.control)
    for number in range(engine.seat_count):
        if changed >> number & 1 != 0:
            tell_parameters(engine.seats[number])
            send_requests(engine, now_ns)


@compiled
def restrict(engine: Engine, state: int, now_ns: int) -> None:
    """Ask for a state for the operator; what is open goes, as with any other reason."""
    if change_state(engine.gate, state, Why.OPERATOR, now_ns):
        cancel_everything(engine, now_ns)


@compiled
def kill(engine: Engine, command: Command) -> None:
    """End the run: this very turn cancels everything, as when a signal ends it."""
    control, state = engine.control, engine.state
    control.is_killed = 1
    copy_bytes(address_of(control.killer), address_of(command.client), CLIENT_BYTES)
    state.leaving_why = Why.LEAVING
    state.winding_down = 1


@compiled
def cancel_what_is_selected(engine: Engine, command: Command, now_ns: int) -> None:
    """Cancel the open orders that all selectors hold for; where that can't be sent now, it is as soon as it can."""
    venue, instrument, strategy = command.venue, command.instrument, command.strategy
    if instrument == EVERY and strategy == EVERY:
        if venue == EVERY:
            cancel_everything(engine, now_ns)
        else:
            engine.venues[venue].cancel_due = 1
            send_due_cancel(engine, engine.venues[venue], now_ns)
        return
    cancel_selected(engine, venue, instrument, strategy, now_ns)
