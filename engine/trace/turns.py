"""The loop's tracks: each turn with its stages, as long as they took when the run was made again.

A backtest's turns may be closer together than a turn takes, so turns that overlap are drawn in lanes. One that finds no
lane is drawn without length.
"""

from typing import Any

import numpy as np

from crosswire.engine.trace.events import TraceEvents
from crosswire.engine.trace.probe import Stage
from crosswire.engine.trace.window import Traced
from crosswire.engine.venue import MARKET_DATA, REPORTS

LOOP = 1  # process of its tracks
LANES_MAX = 8
CROWDED = LANES_MAX + 1  # track of the turns that found no lane
MEASURED = "in replay on this machine"
FRAME_NAMES = {MARKET_DATA: "market data", REPORTS: "answer"}
SENDS = (Stage.NEW, Stage.AMEND, Stage.MASS_QUOTE)
STAGES = {
    Stage.TAKE: ("frame", "poll, parse, read {}"),
    Stage.DECODE: ("decode", "decode and books"),
    Stage.SIGNAL: ("signal", "signal"),
    Stage.HEAR_FILL: ("signal", "strategy hears a fill"),
    Stage.HEAR_ORDER: ("signal", "strategy hears of its order"),
    Stage.TIMER: ("signal", "strategy's timer"),
    Stage.CATCH_UP: ("signal", "strategy catches up"),
    Stage.NEW: ("send", "send order"),
    Stage.CANCEL: ("send", "send cancel"),
    Stage.CANCEL_BY_ID: ("send", "send cancel by the venue's id"),
    Stage.MASS_CANCEL: ("send", "send mass cancel"),
    Stage.AMEND: ("send", "send amend"),
    Stage.MASS_QUOTE: ("send", "send mass quote"),
}
STRATEGY_STAGES = (Stage.SIGNAL, Stage.HEAR_FILL, Stage.HEAR_ORDER, Stage.TIMER, Stage.CATCH_UP)


class Lanes:
    """Which lane is free from when on."""

    def __init__(self) -> None:
        self._free_ns = [0] * LANES_MAX

    def take(self, begin_ns: int, length_ns: int) -> int:
        """Return the track of the first lane that is free; CROWDED: none is."""
        for lane, free_ns in enumerate(self._free_ns):
            if free_ns <= begin_ns:
                self._free_ns[lane] = begin_ns + length_ns
                return lane + 1
        return CROWDED


def add_turns(traced: Traced, events: TraceEvents) -> None:
    """Add all turns."""
    marks, lanes, used = traced.marks, Lanes(), set[int]()
    events.name_process(LOOP, f"loop: stages measured {MEASURED}", 1)
    bounds = np.flatnonzero(np.diff(marks["turn"])) + 1
    for turn in np.split(marks, bounds) if len(marks) else []:
        begin_cycles = int(turn["begin_cycles"].min())
        length_ns = round((int(turn["end_cycles"].max()) - begin_cycles) * traced.ns_per_cycle)
        track = lanes.take(int(turn["time_ns"][0]), length_ns)
        used.add(track)
        add_turn(traced, events, turn, track, length_ns)
    for track in sorted(used):
        events.name_track(LOOP, track, "turns without room" if track == CROWDED else f"turns, lane {track}")


def add_turn(traced: Traced, events: TraceEvents, turn: Any, track: int, length_ns: int) -> None:
    """Add one turn, its stages in the order in which they began; one that lies in another comes behind it."""
    begin_cycles, time_ns = int(turn["begin_cycles"].min()), int(turn["time_ns"][0])
    place, is_drawn = (LOOP, track), track != CROWDED

    def span(begun: int, ended: int) -> tuple[int, int]:
        ends_ns = [round((each - begin_cycles) * traced.ns_per_cycle) * is_drawn for each in (begun, ended)]
        return time_ns + ends_ns[0], ends_ns[1] - ends_ns[0]

    args = {"turn": int(turn["turn"][0]), "run_time_ns": str(time_ns), "length_ns": length_ns, "measured": MEASURED}
    events.slice(place, "turn", (time_ns, length_ns * is_drawn), "turn", args)
    end_cycles, before = begin_cycles, -1
    for mark in turn[np.lexsort((-turn["end_cycles"], turn["begin_cycles"]))]:
        stage, begun, ended = Stage(int(mark["stage"])), int(mark["begin_cycles"]), int(mark["end_cycles"])
        if stage in SENDS and before >= 0:
            args = {"is": "checks of the gate, order table, journal record", "measured": MEASURED}
            args["length_ns"] = round((begun - end_cycles) * traced.ns_per_cycle)
            events.slice(place, "risk gate and records", span(end_cycles, begun), "risk", args)
        category, name = STAGES[stage]
        name = name.format(FRAME_NAMES.get(int(mark["number"]), "frame"))
        events.slice(place, name, span(begun, ended), category, stage_args(traced, stage, mark))
        end_cycles, before = max(end_cycles, ended), stage


def stage_args(traced: Traced, stage: Stage, mark: Any) -> dict[str, Any]:
    """Say whose stage it is, and what it is about."""
    length_ns = round((int(mark["end_cycles"]) - int(mark["begin_cycles"])) * traced.ns_per_cycle)
    args: dict[str, Any] = {"length_ns": length_ns, "measured": MEASURED}
    if stage in STRATEGY_STAGES:
        args["strategy"] = traced.run.description.names.strategies.get(int(mark["place"]), int(mark["place"]))
    else:
        args["venue"] = traced.run.description.venues[int(mark["place"])]
    if stage in (Stage.TAKE, *SENDS) and traced.run.description.kind == "backtest":
        args["includes"] = "the work of the simulated exchange"
    if stage not in (Stage.TAKE, Stage.DECODE) and mark["number"]:
        args["order"] = str(int(mark["number"]))
    return args


def stage_lines(traced: Traced) -> list[str]:
    """Tell the median length of each stage, ns, and of how many."""
    lines = []
    for stage in Stage:
        marks = traced.marks[traced.marks["stage"] == stage]
        if len(marks):
            median_ns = float(np.median(marks["end_cycles"] - marks["begin_cycles"])) * traced.ns_per_cycle
            lines.append(f"{STAGES[stage][1].format('frame')}: {len(marks):,}, median {median_ns:,.0f} ns {MEASURED}")
    return lines
