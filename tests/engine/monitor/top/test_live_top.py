"""The screen before a live run: what its keys ask for is what the run does, by its journal and the account there."""

import asyncio
from pathlib import Path

import pytest
from textual.pilot import Pilot

from crosswire.engine.config import load_config
from crosswire.engine.monitor.address import open_client
from crosswire.engine.monitor.top.look import traded_of
from crosswire.engine.monitor.top.screen import Question, Top
from tests.engine.monitor.top.test_top import shown, until
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, started
from tests.support.run_operator import MARKET_S, Operator, nothing_is_left

pytestmark = [pytest.mark.control, pytest.mark.netns]


def test_a_run_is_paused_flattened_and_killed_from_the_screen(config: Path) -> None:
    folder, operator = config.parent, Operator(config)
    with (
        started(folder, "exchange", config, "--wait", "--seconds", MARKET_S) as exchanges,
        started(folder, "monitor", config, "--output", operator.runs) as monitor,
    ):
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", operator.runs) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            monitor.wait_for("attached to run", PATIENCE_S)
            operator.until("positions", lambda told: any(row["position"] for row in told["rows"]))
            with open_client(config, operator.runs, "tess") as client:
                asyncio.run(sit_before(Top(client, traded_of(load_config(config))), folder))
            assert live.process.wait(PATIENCE_S) == 1
            assert live.text().splitlines()[-1] == "crosswire: killed by tess"
        nothing_is_left(exchanges)
    asked = [each["command"] for each in operator.records() if each["kind"] == "command"]
    assert asked == ["pause", "resume", "flatten", "kill"]


async def sit_before(top: Top, folder: Path) -> None:
    """Pause, resume, flatten, kill, each seen on the screen before the next."""
    async with top.run_test(size=(160, 60)) as pilot:
        await seen(top, pilot, "ACTIVE")
        for each in ("deribit/BTC-PERPETUAL", "bridge/BTCUSDT", "after fees", "receive to send", "ready"):
            assert each in shown(top), each
        await pilot.pause(2.0)
        (folder / "top.svg").write_text(top.export_screenshot())  # to be looked at, and for docs/top.md
        await pilot.press("p", "y")
        await seen(top, pilot, "CANCEL ONLY (operator)")
        await pilot.press("u", "y")
        await confirm(top, pilot)
        await seen(top, pilot, "ACTIVE")
        await pilot.press("f", "y")
        await confirm(top, pilot)
        await seen(top, pilot, "flatten flat")
        await until(pilot, lambda: all(row.position == 0 for row in top.seen.positions), PATIENCE_S)
        await pilot.press("k", "y")
        await seen(top, pilot, "the run has ended")


async def seen(top: Top, pilot: Pilot[None], what: str) -> None:
    await until(pilot, lambda: what in shown(top), PATIENCE_S)


async def confirm(top: Top, pilot: Pilot[None]) -> None:
    """Wait for the monitor's own words, and say yes to them."""
    await until(pilot, lambda: isinstance(top.screen, Question) and top.screen.text.startswith("this will"), PATIENCE_S)
    await pilot.press("y")
