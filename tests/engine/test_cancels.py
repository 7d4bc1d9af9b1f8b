"""A cancel that can't be sent when it is asked for is sent as soon as it can be, unless its order ends before."""

from pathlib import Path

import pytest

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.cancels import CANCEL_RETRY_NS
from crosswire.engine.config import load_config
from crosswire.engine.loop import Status, keep_sessions
from crosswire.engine.orders import end_order, send_cancel
from crosswire.nic.journal.files import MemoryJournal
from crosswire.strategies.desk import CANCEL_ORDER, Request
from crosswire.venues.order import Order, OrderState, close_order
from crosswire.venues.session import SessionState
from tests.support.short_run import two_seconds

RESTLESS = """[strategy]
use = "restless"

[strategy.parameters]
instruments = ["deribit/BTC-PERPETUAL", "bridge/BTCUSDT"]
seed = 3
every = 5
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with an order at rest."""
    path = two_seconds(tmp_path, seed=1)
    text = path.read_text()
    path.write_text(text[: text.index("[strategy]")] + RESTLESS + text[text.index("[limits]") :])
    run = build_run(load_config(path), path)
    run.load()
    run.kept = MemoryJournal(run.engine.journal)  # type: ignore[attr-defined]
    while not resting(run):
        run.engine.state.stop = 0
        assert run.turn() in (Status.STARVED, Status.FINISHED, Status.STOPPED)
        run.refill()
    return run


def resting(run: Run) -> list[Order]:
    return [order for order in run.engine.orders.orders if order.state == OrderState.LIVE]


def ask(run: Run, order: Order) -> int:
    now_ns = run.engine.state.now_ns
    send_cancel(
        run.engine, run.engine.seats[0], Request(kind=CANCEL_ORDER, client_order_id=order.client_order_id), now_ns
    )
    return now_ns


def test_a_cancel_is_sent_when_its_session_can(run: Run) -> None:
    order = resting(run)[0]
    venue = run.engine.venues[order.venue]
    sent = run.engine.state.cancels_sent
    venue.session.state = SessionState.LOGGING_ON
    now_ns = ask(run, order)
    ask(run, order)
    assert (order.state, order.cancel_due, venue.cancels_due) == (OrderState.LIVE, 1, 1)
    assert venue.keep_ns <= now_ns + CANCEL_RETRY_NS
    assert run.engine.state.first_keep_ns <= now_ns + CANCEL_RETRY_NS
    venue.session.state = SessionState.READY
    keep_sessions(run.engine, now_ns + CANCEL_RETRY_NS)
    assert (order.state, order.cancel_due, venue.cancels_due) == (OrderState.PENDING_CANCEL, 0, 0)
    assert run.engine.state.cancels_sent == sent + 1


def test_the_cancel_of_an_order_that_ends_before_is_no_longer_due(run: Run) -> None:
    order = resting(run)[0]
    venue = run.engine.venues[order.venue]
    venue.session.state = SessionState.LOGGING_ON
    now_ns = ask(run, order)
    close_order(order, OrderState.CANCELLED, 0, now_ns)
    end_order(run.engine, order)
    assert venue.cancels_due == 0
