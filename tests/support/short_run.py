"""Backtests that a test makes and runs itself."""

from collections.abc import Callable
from pathlib import Path

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.loop import Status
from crosswire.nic.journal.files import MemoryJournal
from tests.support.paths import ROOT


def two_seconds(folder: Path, seed: int) -> Path:
    """The default example's configuration in `folder`, over two seconds of data generated there."""
    generate_captures(folder / "data" / "synthetic", seed=seed, seconds=2)
    (folder / "examples").mkdir()
    config = folder / "examples" / "run.toml"
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    config.write_text(text.replace("seconds = 120", "seconds = 2"))
    return config


def finished_run(config: Path, look: Callable[[Run], None] = lambda _run: None) -> Run:
    """The run at its end, its journal thrown away; `look` at it whenever it comes back to Python."""
    run = build_run(load_config(config), config)
    run.load()
    finish(run, look)
    return run


def finish(run: Run, look: Callable[[Run], None] = lambda _run: None) -> None:
    """Bring a run that is loaded to its end, as `finished_run` does."""
    kept = MemoryJournal(run.engine.journal)
    status = Status.STARVED
    while status != Status.FINISHED:
        status = run.turn()
        run.refill()
        look(run)
        if status == Status.JOURNAL:
            kept.take()
    run.close()
