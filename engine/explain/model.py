"""Backtests over a live run's own capture: of the very orders that it sent, and of its strategies left to themselves.

The first says what the simulated exchange would have answered to each order: there no difference leads to another. The
second is the backtest that anybody would make of the day.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec

from crosswire.engine.backtest import turn_until_finished
from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import RunConfig, StrategyConfig
from crosswire.engine.explain.lives import Life, Lives, lives_of
from crosswire.engine.explain.reading import KEPT, VenueCapture
from crosswire.engine.explain.script import STEP_AMEND, STEP_CANCEL, STEP_NEW, set_script
from crosswire.engine.journal.decode import Record, records_of
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import read_memory
from crosswire.risk.limits import AccountLimitsConfig
from crosswire.risk.records import RecordKind

WIDE = 1_000  # times its limits a run of the sent orders has: the live run's gate has passed them
SCRIPTED = "crosswire.engine.explain.script:Scripted"


class KeptJournal(MemoryJournal):
    """A journal in memory whose records are kept as they are taken."""

    records: list[Record]

    def take(self) -> None:
        """Keep what was written, and begin again."""
        for batch in read_memory(self).batches():
            self.records += records_of(batch, KEPT)
        super().take()


@dataclass
class Backtest:
    """What a backtest has given."""

    records: list[Record] = field(default_factory=list)
    lives: Lives = field(default_factory=Lives)


def over_captures(config: RunConfig, captures: list[VenueCapture]) -> RunConfig:
    """Have a configuration's venues replay the captured market data, by exchanges that are made from captures."""
    venues = []
    for venue, capture in zip(config.venue, captures, strict=True):
        entries = venue.adapter.order_entries
        orders = venue.orders
        if not venue.order_entry.replays:
            orders = next((name for name, entry in entries.items() if entry.replays and entry.make_exchange), orders)
        paths = [str(path.resolve()) for path in capture.market_paths]
        seen = {"captures": paths, "capture_stamps": "none", "recordings": []}  # at the times that the loop traded by
        venues.append(msgspec.structs.replace(venue, **seen, orders=orders))
    return msgspec.structs.replace(config, venue=venues)


def backtest_again(config: RunConfig, config_path: Path, captures: list[VenueCapture]) -> Backtest:
    """Backtest the run's own strategies over its capture. ConfigError, CaptureError, LoopError: one line each."""
    return finish(build_run(over_captures(config, captures), config_path))


def backtest_orders(
    config: RunConfig, config_path: Path, captures: list[VenueCapture], records: list[Record], lives: Lives
) -> Backtest:
    """Backtest the orders that the run sent, at its times, over its capture."""
    config = msgspec.structs.replace(
        over_captures(config, captures), strategy=StrategyConfig(use=SCRIPTED, parameters={})
    )
    run = build_run(widened(config), config_path)
    for index in range(run.engine.market.count):
        run.engine.gate.limits[index].position_lots_max *= WIDE
    set_script(run.core.strategies[0], run.engine.seats[0].desk, steps_of(records, lives), len(lives.orders))  # type: ignore[arg-type]
    return finish(run)


def widened(config: RunConfig) -> RunConfig:
    """Let pass what the live run's gate has passed: the limits of everything but single orders are wide."""
    limits = config.limits
    rate = AccountLimitsConfig(
        gross_max=limits.account.gross_max * WIDE, net_max=limits.account.net_max * WIDE,
        orders_per_second=1_000_000, burst=1_000_000,
    )  # fmt: skip
    underlying = {
        name: msgspec.structs.replace(
            each, gross_max=each.gross_max * WIDE, net_max=each.net_max * WIDE, delta_max=each.delta_max * WIDE,
            leg_risk=None,
        )
        for name, each in limits.underlying.items()
    }  # fmt: skip
    venues = [
        msgspec.structs.replace(
            venue,
            limits=msgspec.structs.replace(
                venue.limits, orders_per_second=1_000_000, burst=1_000_000, open_orders_max=4_096,
                notional_max=venue.limits.notional_max * WIDE, order_to_trade=None,
            ),
        )
        for venue in config.venue
    ]  # fmt: skip
    limits = msgspec.structs.replace(
        limits, loss_max=limits.loss_max * Decimal(WIDE), realised_loss_max=None, self_trade_prevention=False,
        dead_man_ms=None, account=rate, repeated_execution=None, underlying=underlying,
    )  # fmt: skip
    return msgspec.structs.replace(config, limits=limits, venue=venues)


def steps_of(records: list[Record], lives: Lives) -> list[tuple[int, ...]]:
    """List what the run did, as `Step` has it. What its ring refused is asked for all the same: the model has room."""
    steps: list[tuple[int, ...]] = []
    for record in records:
        fields, time_ns = record.fields, record.time_ns
        life = lives.orders.get(fields.get("client_order_id", 0))
        if record.kind == RecordKind.ORDER_SENT and life is not None and not fields["is_quote"]:
            terms = (
                life.instrument,
                fields["side"],
                fields["time_in_force"],
                fields["price_ticks"],
                fields["qty_lots"],
            )
            steps.append((time_ns, STEP_NEW, life.place, *terms))
        elif record.kind == RecordKind.AMEND_SENT and life is not None:
            steps.append((time_ns, STEP_AMEND, life.place, 0, 0, 0, fields["price_ticks"], fields["qty_lots"]))
        elif record.kind == RecordKind.CANCEL_SENT:
            for each in cancelled_by(fields, life, lives, time_ns):
                steps.append((time_ns, STEP_CANCEL, each.place, 0, 0, 0, 0, 0))
    return steps


def cancelled_by(fields: dict[str, int], life: Life | None, lives: Lives, time_ns: int) -> list[Life]:
    """List the orders that a cancel was of: one, or all that were open at a venue."""
    if life is not None:
        return [life]
    if fields["exchange_order_id"] != 0:
        return []
    return [
        each
        for each in lives.in_order()
        if each.venue == fields["venue"] and each.sent_ns <= time_ns and (each.ended_ns == 0 or each.ended_ns > time_ns)
    ]


def finish(run: Run) -> Backtest:
    """Run a backtest to its end, in memory."""
    found = Backtest()
    try:
        run.load()
        kept = KeptJournal(run.engine.journal)
        kept.records = found.records
        turn_until_finished(run, kept)
        kept.take()
    finally:
        run.close()
    found.lives = lives_of(found.records)
    return found
