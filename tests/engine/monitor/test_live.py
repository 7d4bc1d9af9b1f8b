"""Goal: whoever operates a live run sees it and commands it through its monitor, and through nothing else.

Method: exchanges, engine and monitor as a user starts them, over AF_XDP; what the command line says is held against the
run's own journal and the exchange's account, and what the monitor has mapped is read from the kernel.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.memory.arena import SHARED_PREFIX
from tests.support.command import ask
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Command, started
from tests.support.run_operator import MARKET_S, NAME, Operator

pytestmark = [pytest.mark.control, pytest.mark.netns]


def shared_lines(process: int) -> list[str]:
    """What a process has mapped of a run's shared files: access and name."""
    lines = [line.split() for line in Path(f"/proc/{process}/maps").read_text().splitlines() if SHARED_PREFIX in line]
    for line in lines:
        start, end = (int(each, 16) for each in line[0].split("-"))
        assert line[1] in ("r--s", "rw-s")
        assert line[1] == "r--s" or end - start == os.sysconf("SC_PAGE_SIZE")
    return [f"{line[1]} {Path(line[5]).name}" for line in lines]


def writable(process: int) -> list[str]:
    lines = [line.split() for line in Path(f"/proc/{process}/maps").read_text().splitlines()]
    return [line[5] for line in lines if line[1][1] == "w" and line[1][3] == "s"]


def test_a_run_is_operated_from_the_command_line(config: Path) -> None:
    folder, operator = config.parent, Operator(config)
    with (
        started(folder, "monitor", config, "--output", operator.runs) as monitor,
        started(folder, "exchange", config, "--wait", "--seconds", MARKET_S) as exchanges,
    ):
        monitor.wait_for("no run of synthetic yet", PATIENCE_S)
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", operator.runs, "--capture", folder / "captured") as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            monitor.wait_for("attached to run", PATIENCE_S)
            operator.until("status", lambda status: status["fills"] > 20)
            look(operator)
            assert writable(monitor.process.pid) == []
            pause(operator)
            tighten(operator)
            only_the_mailbox_can_be_written(monitor)
            monitor_is_killed_and_the_run_goes_on(operator, monitor, config)
            with started(folder, "monitor", config, "--output", operator.runs) as second:
                second.wait_for("attached to run", PATIENCE_S)
                flatten(operator)
                done = operator.say("kill", name="olga")
                assert done["text"].startswith("killed")
                assert live.process.wait(PATIENCE_S) == 1
                assert live.text().splitlines()[-1] == "crosswire: killed by olga"
                second.wait_for("has ended; waiting for the next run", PATIENCE_S)
                assert operator.say("status")["is_alive"] is False
                code, _, error = ask("control", "pause", config, "-o", operator.runs, "--as", "tess")
                assert (code, "no run of synthetic is being traded" in error) == (1, True)
                the_next_run_is_found(operator, second, config)


def is_whole(status: dict[str, Any]) -> bool:
    """Sessions are ready and books proven: at any one moment a frame may have been lost, on a machine that is busy."""
    return all((venue["session"], venue["books"]) == ("ready", venue["books_proven"]) for venue in status["venues"])


def look(operator: Operator) -> None:
    """What is shown is what the run has, in its own words and figures."""
    status = operator.until("status", is_whole)
    assert (status["name"], status["state"], status["is_alive"]) == (NAME, "active", True)
    assert status["run"] == operator.latest.resolve().name
    for row in operator.say("books", "--depth", "3")["rows"]:
        assert row["is_torn"] or row["bids"][0]["price"] < row["asks"][0]["price"]
        prices = [level["price"] for level in row["bids"]]
        assert prices == sorted(prices, reverse=True)
    fills = {row["instrument"]: row["fills"] for row in operator.say("positions")["rows"]}
    assert sum(fills.values()) >= status["fills"]
    assert [row["count"] > 0 for row in operator.say("latencies")["rows"]] == [True, True, True]
    operator.until("sessions", lambda told: all(row["orders_sent"] for row in told["rows"]))
    name = status["venues"][0]["venue"]
    for what, shown in (
        ("status", f"{NAME} {status['run']}: trading"),
        ("positions", name),
        ("orders", "instrument"),
        ("books", "proven"),
        ("limits", "limits.loss_max"),
        ("parameters", "limits.loss_max"),
        ("latencies", "receive to send"),
        ("sessions", "ready"),
        ("log", "outcome"),
    ):
        code, lines, error = ask("control", what, operator.config, "-o", operator.runs, "--as", "olga")
        assert (code, error) == (0, "")
        assert any(shown in line for line in lines), lines


def pause(operator: Operator) -> None:
    """No order leaves from the pause's record on, though it trades again once it is resumed."""
    asked_ns = time.time_ns()
    assert operator.say("pause", name="olga")["text"].startswith("paused")
    status = operator.until("status", lambda status: status["open_orders"] == 0)
    assert (status["state"], status["why"]) == ("cancel_only", "operator")
    frames = status["frames"]
    assert operator.until("status", lambda now: now["frames"] > frames + 1000)["orders_sent"] == status["orders_sent"]
    records = operator.records()
    (command,) = (each for each in records if each["kind"] == "command")
    assert (command["command"], command["client"]) == ("pause", "olga")
    last_ns = max(each["time_ns"] for each in records if each["kind"] == "order_sent")
    assert last_ns <= command["time_ns"]
    print(f"from the command line's start to the loop's record {(command['time_ns'] - asked_ns) / 1e6:.1f} ms")
    code, _, error = ask("control", "resume", operator.config, "-o", operator.runs, "--as", "tess")
    assert (code, "not confirmed, nothing is done" in error) == (1, True)
    assert operator.say("status")["state"] == "cancel_only"
    operator.say("resume", "--yes")
    operator.until("status", lambda now: now["orders_sent"] > status["orders_sent"])


def tighten(operator: Operator) -> None:
    """A limit is changed on its word, in one step where it falls, and the run has it."""
    rows = operator.say("limits")["rows"]
    row = next(row for row in rows if row["name"] == "limits.loss_max")
    operator.say("set", f"limits.loss_max={row['value'] / 2}")
    now = next(each for each in operator.say("parameters")["rows"] if each["name"] == "limits.loss_max")
    assert now["value"] == row["value"] / 2
    operator.say("set", f"limits.loss_max={row['value']}", "--yes")


def only_the_mailbox_can_be_written(monitor: Command) -> None:
    """Of all that the monitor shares with anybody it can write one page, the mailbox's."""
    lines = shared_lines(monitor.process.pid)
    assert sum(line.startswith("rw-s") for line in lines) == 1
    assert sum(line.startswith("r--s") for line in lines) >= 1
    assert [Path(path).name.startswith(SHARED_PREFIX) for path in writable(monitor.process.pid)] == [True]


def monitor_is_killed_and_the_run_goes_on(operator: Operator, monitor: Command, config: Path) -> None:
    """The run needs no monitor."""
    frames = operator.say("status")["frames"]
    monitor.process.send_signal(signal.SIGKILL)
    monitor.process.wait()
    time.sleep(0.5)
    with started(config.parent, "monitor", config, "--output", operator.runs) as again:
        again.wait_for("attached to run", PATIENCE_S)
        assert operator.say("status")["frames"] > frames
        again.process.send_signal(signal.SIGTERM)
        again.finish()


def flatten(operator: Operator) -> None:
    """All that is held is closed, by both accounts."""
    held = operator.until("positions", lambda answer: any(row["position_lots"] for row in answer["rows"]))
    assert held
    assert operator.say("flatten", "--yes") == {"flatten": "flat", "left": []}
    status = operator.say("status")
    assert (status["flatten"], status["state"]) == ("flat", "reduce_only")
    assert [row["position_lots"] for row in operator.say("positions")["rows"]] == [0] * len(held["rows"])


def the_next_run_is_found(operator: Operator, monitor: Command, config: Path) -> None:
    """The monitor goes over to the next run of the name, once there is one."""
    before = operator.latest.resolve()
    # With a capture as the first one: so it runs the same machine code.
    with started(config.parent, "live", config, "--output", operator.runs, "--capture", config.parent / "next") as live:
        live.wait_for("trading", COMPILE_PATIENCE_S)
        status = operator.until("status", lambda status: status["is_alive"])
        assert status["run"] == operator.latest.resolve().name != before.name
        assert monitor.text().count("attached to run") == 2
        live.process.send_signal(signal.SIGINT)
        live.finish()
