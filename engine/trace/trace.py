"""`crosswire trace`: some turns of a finished run on one time line, for ui.perfetto.dev."""

from pathlib import Path

from crosswire.engine.report.text import precise_time_text
from crosswire.engine.trace.events import TraceEvents, write_trace
from crosswire.engine.trace.tracks import add_chances, add_market, add_orders, add_venues, frames_of, sent_of
from crosswire.engine.trace.turns import MEASURED, add_turns
from crosswire.engine.trace.window import Traced


def make_trace(traced: Traced) -> TraceEvents:
    """Put all that is known of the window's turns on one time line."""
    frames, sent = frames_of(traced), sent_of(traced)
    # A frame may have been received before the window's first turn took it.
    events = TraceEvents(min([traced.from_ns, *(each.time_ns for each in frames)]))
    add_turns(traced, events)
    add_venues(traced, events, frames, sent)
    add_orders(traced, events)
    add_chances(traced, events)
    add_market(traced, events)
    return events


def save_trace(traced: Traced, path: Path) -> int:
    """Write the trace of a window; return how many events it has. OSError."""
    events = make_trace(traced)
    own = "the simulation's: no time passes inside a turn" if traced.is_simulated else "the live run's own"
    facts = {
        "run": str(traced.run.folder),
        "kind": traced.run.description.kind,
        "begins": f"{precise_time_text(events.origin_ns)} UTC",
        "begins_ns": str(events.origin_ns),
        "times of turns, frames, orders": own,
        "lengths of a turn's stages": f"measured {MEASURED}, not in the run",
        "warnings": "; ".join(map(str, traced.warnings)),
    }
    write_trace(path, events.all, facts)
    return len(events.all)
