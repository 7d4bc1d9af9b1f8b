"""A strategy's parameters are changed while it trades: all at once, between two turns, and it derives what follows."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.engine.build.run import build_run
from crosswire.engine.config import load_config
from crosswire.engine.control.mailbox import EVERY, CommandKind, Mailbox, Outcome, client_bytes, write_command
from crosswire.engine.control.parameters import named_parameters, set_control
from crosswire.engine.loop import Status
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import read_memory
from crosswire.nic.memory.struct import address_of
from crosswire.risk.records import KINDS, VERSION, RecordKind
from tests.support.short_run import two_seconds

STRATEGY = """
from typing import Annotated

import msgspec

from crosswire import BUY, BuildContext, Desk, Order, Parameter, Strategy, i64, on_order, on_parameters, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    width: Annotated[int, Parameter("ticks", "", least=1, most=100, field="width")] = 1
    lots: Annotated[int, Parameter("lots", "", least=1, most=100, field="lots")] = 1


class Changed(Strategy):
    width: i64
    lots: i64
    area: i64  # derived from both
    told: i64
    vetoes: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Changed":
        return cls(width=parameters.width, lots=parameters.lots, area=parameters.width * parameters.lots)


@on_parameters.register(Changed)
def derive(strategy: Changed, desk: Desk) -> None:
    strategy.area = strategy.width * strategy.lots
    strategy.told += 1
    submit(desk, 0, BUY, 0, 0)


@on_order.register(Changed)
def hear(strategy: Changed, desk: Desk, order: Order) -> None:
    strategy.vetoes += 1
"""


def with_strategy(config: Path, strategy: str) -> Path:
    """Put other strategies in place of a configuration's."""
    text = config.read_text()
    start, end = text.index("[strategy]"), text.index("# For `crosswire exchange`")
    changed = config.with_name(f"changed-{len(list(config.parent.iterdir()))}.toml")
    changed.write_text(text[:start] + strategy + text[end:])
    return changed


class Commanded:
    """A backtest to which an operator's command is there from the first look on."""

    def __init__(self, path: Path, values: Mapping[str, int | Decimal]) -> None:
        self.run = build_run(load_config(path), path)
        self.run.load()
        self.mailbox = Mailbox()
        engine = self.run.engine
        engine.control.mailbox = address_of(self.mailbox)
        set_control(self.run.core, self.run.config)
        if values:
            named = {each.name: each for each in named_parameters(engine)}
            items = [
                (named[name].place, int(value * engine.control.texts[named[name].place].denominator))
                for name, value in values.items()
            ]
            write_command(self.mailbox, 1, CommandKind.SET, (EVERY,) * 3, client_bytes("alice"), items)
        kept, self.written = MemoryJournal(engine.journal), Counter[str]()
        status = Status.STARVED
        while status != Status.FINISHED:
            status = self.run.turn()
            for batch in read_memory(kept).batches():
                for kind in (RecordKind.COMMAND, RecordKind.COMMAND_ITEM):
                    self.written[kind.name] += len(batch.of(kind, KINDS[kind], VERSION))
            kept.take()
            self.run.refill()

    @property
    def outcome(self) -> Outcome:
        assert self.mailbox.answered[0] == 1
        return Outcome(self.mailbox.outcome)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_seconds(tmp_path_factory.mktemp("set"), seed=7)


def test_both_are_set_before_its_strategy_is_told_and_another_hears_nothing(config: Path) -> None:
    (config.parent / "changed.py").write_text(STRATEGY)
    strategies = "".join(f'[[strategy]]\nname = "{name}"\nuse = "changed.py:Changed"\n\n' for name in ("one", "two"))
    path = with_strategy(config, strategies)
    changed = Commanded(path, {"strategy.two.parameters.width": 7, "strategy.two.parameters.lots": 3})
    one, two = changed.run.core.strategies
    assert changed.outcome == Outcome.DONE
    assert (two.width, two.lots, two.area, two.told, two.vetoes) == (7, 3, 21, 1, 1)
    assert (one.width, one.lots, one.area, one.told, one.vetoes) == (1, 1, 1, 0, 0)
    assert changed.written == {"COMMAND": 1, "COMMAND_ITEM": 2}
    refused = Commanded(path, {"strategy.two.parameters.width": 7, "strategy.two.parameters.lots": 101})
    _, two = refused.run.core.strategies
    assert refused.outcome == Outcome.OUT_OF_RANGE
    assert (two.width, two.lots, two.area, two.told) == (1, 1, 1, 0)


def test_thresholds_that_were_set_at_the_start_trade_as_those_that_were_configured(config: Path) -> None:
    """The same orders to the byte, and others than without: what is derived while it runs is what `build` derives."""
    text, configured = config.read_text(), config.with_name("configured.toml")
    for now, wanted in (
        ("threshold_bps = 1\n", "threshold_bps = -20\n"),
        ("threshold_bps = 0\n", "threshold_bps = -30.5\n"),
    ):
        assert text.count(now) == 1
        text = text.replace(now, wanted)
    configured.write_text(text)
    what = "strategy.cross_spread.parameters"
    values = {f"{what}.threshold_bps": Decimal(-20), f"{what}.close_threshold_bps": Decimal("-30.5")}
    built, plain, changed = Commanded(configured, {}), Commanded(config, {}), Commanded(config, values)
    assert changed.outcome == Outcome.DONE
    assert built.run.digests() == changed.run.digests() != plain.run.digests()
    assert built.run.engine.state.orders_sent > 0
