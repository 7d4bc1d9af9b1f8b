"""What the loop does that stood still: stopped by a signal or a debugger, its machine paused, its core taken away.

What waits in its rings has arrived at some moment since, and tells how things are now. Until all of it is read nothing
is judged by the time: no session is kept, no strategy's timer fires, and a book counts as no younger than when the
standstill began (an AF_XDP or DPDK ring gives its frames the time at which they are read). What an order session makes
of the time that it was not looked at, `venues/session.py` says. The journal is told of both ends: a replay follows.
"""

from crosswire.engine.records import record_standstill
from crosswire.engine.state import Engine
from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.market import Events

STANDSTILL_NS = 10 * NS_PER_MS  # between two turns, which are some hundred ns apart
READ_MAX_NS = NS_PER_S  # after so long a loop that still finds frames is late for good, and goes on as it is
# In a row, until the rings count as empty: our TCP takes but some segments a poll that hold nothing for a session.
EMPTY_TURNS = 64


def watch_for_standstill(engine: Engine, now_ns: int) -> None:
    """Have the loop judge from now on whether it stood still, as only a clock that does not jump can tell."""
    engine.state.now_ns = now_ns
    engine.state.standstill_ns = STANDSTILL_NS


@compiled
def face_standstill(engine: Engine, now_ns: int) -> None:
    """Note that the loop stood still since its last turn, or, if it did before, that it has read all that waited."""
    state = engine.state
    if now_ns - state.now_ns > state.standstill_ns:
        fall_behind(engine, state.now_ns, now_ns)
    elif state.standstill_ns != NEVER_NS:
        # In a run that is followed the journal says when that was.
        state.empty_turns = state.empty_turns + 1 if state.frames == state.frames_read else 0
        state.frames_read = state.frames
        if state.empty_turns >= EMPTY_TURNS or are_read(engine) or now_ns - state.woken_ns > READ_MAX_NS:
            catch_up(engine, now_ns)


@compiled
def fall_behind(engine: Engine, since_ns: int, now_ns: int) -> None:
    """Note that what is read from now on may have arrived at any time since `since_ns`."""
    state = engine.state
    if state.behind_ns == 0:
        state.behind_ns = since_ns
    state.woken_ns = now_ns
    state.frames_read = state.frames
    state.empty_turns = 0
    state.standstills += 1
    state.standstill_longest_ns = max(state.standstill_longest_ns, now_ns - since_ns)
    record_standstill(engine, since_ns, 0, now_ns)


@compiled
def catch_up(engine: Engine, now_ns: int) -> None:
    """Go on as usual: what waited has been read."""
    record_standstill(engine, engine.state.behind_ns, 1, now_ns)
    engine.state.behind_ns = 0


@compiled
def are_read(engine: Engine) -> bool:
    """Tell whether no ring had anything left at the last turn: only rings of a replay know that."""
    for number in range(engine.venue_count):
        if engine.venues[number].due_ns <= engine.state.now_ns:
            return False
    return True


@compiled
def age_books(engine: Engine, events: Events) -> None:
    """Have the gate take the books that a packet changed as old as they may be."""
    for position in range(events.count):
        top = engine.gate.tops[events.items[position].instrument]
        top.receive_time_ns = min(top.receive_time_ns, engine.state.behind_ns)
