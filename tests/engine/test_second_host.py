"""What docs/runbook.md has a second host do: with a copy of the journals it goes on where the first has stopped."""

import shutil
from pathlib import Path

from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.configuration.show import load_source
from crosswire.engine.journal.carry import last_carried
from crosswire.venues.order import ORDERS_BITS
from tests.support.left_run import HELD, example, held, leave, taken_over
from tests.support.paths import ROOT


def test_a_second_host_with_a_copied_journal_takes_over_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first" / "runs", tmp_path / "second" / "runs"
    config = example("synthetic", tmp_path)
    leave(config, first, order_id=9 << ORDERS_BITS | 17)
    there = last_carried(first / "synthetic")
    shutil.copytree(first, second, symlinks=True)
    shutil.rmtree(first.parent)
    here = last_carried(second / "synthetic")
    assert here is not None
    assert there is not None
    assert held(here) == held(there)
    assert sorted(held(here).values()) == sorted(HELD.values())
    assert list(here.orders) == list(there.orders) == [9 << ORDERS_BITS | 17]
    assert taken_over(config, here).engine.orders.counter << ORDERS_BITS == here.reserved_id == there.reserved_id

    run = str(second / "synthetic" / "latest")
    verified = CliRunner().invoke(app, ["journal", run, "--verify"])
    assert verified.exit_code == 0, verified.output
    assert "is_closed: " in verified.output


def test_a_runs_own_configuration_is_compared_with_the_next(tmp_path: Path) -> None:
    leave(example("synthetic", tmp_path), tmp_path / "runs")
    run = tmp_path / "runs" / "synthetic" / "latest"
    same = CliRunner().invoke(app, ["config", "diff", str(run), str(ROOT / "examples" / "synthetic.toml")])
    assert same.exit_code == 0, same.output
    assert load_source(run) == load_source(ROOT / "examples" / "synthetic.toml")
    changed = tmp_path / "changed.toml"
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    changed.write_text(text.replace("loss_max = 5_000", "loss_max = 6_000"))
    done = CliRunner().invoke(app, ["config", "diff", str(run), str(changed)])
    assert (done.exit_code, done.output.splitlines()[0]) == (
        1,
        "limits.loss_max: 5000 -> 6000 quote currency (looser)",
    )
