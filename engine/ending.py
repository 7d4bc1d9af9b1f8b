"""What ends trading while the loop still turns: orders are out, and only the loop can cancel them."""

from crosswire.engine.seat import silence
from crosswire.engine.state import Engine, begin_leaving
from crosswire.risk.trading_state import Why


def give_up(engine: Engine) -> None:
    """Trade no more: all is cancelled at the next turn, and strategies are not called again."""
    begin_leaving(engine, Why.STRATEGY_FAILED)
    for number in range(engine.seat_count):
        silence(engine.seats[number])


def go_on_without_segment(engine: Engine) -> None:
    """Trade no more as the journal gets no next segment: what it has left is for the answers to the cancels."""
    engine.journal.turn_limit = engine.journal.limit
    engine.state.tells_turns = 0
    give_up(engine)
