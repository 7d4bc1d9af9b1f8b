"""What ends trading while the loop still turns: nobody is called again, and nothing new is sent."""

from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.engine.ending import give_up, go_on_without_segment
from crosswire.engine.seat import SILENT
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.risk.gate import Gate
from crosswire.risk.trading_state import TradingState, Why


def make_engine() -> Any:
    """Two seats of a table of three."""
    seats = [SimpleNamespace(failure=0, desk=SimpleNamespace(request_count=4, timer_ns=7)) for _ in range(3)]
    return SimpleNamespace(
        gate=Gate(),
        seats=seats,
        seat_count=2,
        state=SimpleNamespace(winding_down=0, leaving_why=Why.NONE, tells_turns=1),
        journal=SimpleNamespace(turn_limit=100, limit=900),
    )


@pytest.mark.parametrize("end", [give_up, go_on_without_segment])
def test_all_is_to_be_cancelled_and_no_strategy_is_called(end: Any) -> None:
    engine = make_engine()
    end(engine)
    assert engine.gate.asked_from_outside == TradingState.CANCEL_ONLY
    assert (engine.state.winding_down, engine.state.leaving_why) == (1, Why.STRATEGY_FAILED)
    assert [(seat.failure, seat.desk.request_count, seat.desk.timer_ns) for seat in engine.seats] == [
        (SILENT, 0, NEVER_NS), (SILENT, 0, NEVER_NS), (0, 4, 7),
    ]  # fmt: skip


def test_what_the_journal_has_left_is_for_answers() -> None:
    engine = make_engine()
    give_up(engine)
    assert (engine.journal.turn_limit, engine.state.tells_turns) == (100, 1)
    go_on_without_segment(engine)
    assert (engine.journal.turn_limit, engine.state.tells_turns) == (900, 0)
