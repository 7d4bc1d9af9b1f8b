"""Having sets run on workers: each result kept as it comes, no worker's death losing more than what it was at."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed import KilledWorker, as_completed

from crosswire.engine.config import parse_toml
from crosswire.engine.configuration.settings import with_settings
from crosswire.engine.configuration.show import toml_text
from crosswire.engine.sweep.cluster import worker_addresses
from crosswire.engine.sweep.plan import Plan
from crosswire.engine.sweep.progress import Shown
from crosswire.engine.sweep.result import workers_lost_text
from crosswire.engine.sweep.rows import Row, write_row
from crosswire.engine.sweep.search import Sets
from crosswire.engine.sweep.space import Settings
from crosswire.engine.sweep.work import ReleaseError, Task, one_line, run_set
from crosswire.nic.host.process import HostError

LOOK_S = 1.0  # between two looks at who is there, while no set is done
WAIT_S = 0.01  # between two looks at whether one is
TASKS_PER_WORKER = 3  # at the scheduler at a time: one at work, and what follows while its result is on its way


class Driver:
    """Runs sets, and keeps what came of them."""

    def __init__(
        self, client: Any, plan: Plan, folder: Path, rows: Mapping[int, Row], shown: Shown, keep: bool
    ) -> None:
        self.client = client
        self.plan = plan
        self.folder = folder
        self.before = rows  # of an earlier start
        self.shown = shown
        self.keep = keep
        self.document = parse_toml(plan.config_text, Path(plan.config_file))
        self.seen = worker_addresses(client)
        self.workers_lost = 0

    def run_all(self, sets: Sets) -> dict[int, Row]:
        """Run what is missing; return the rows of all. HostError: a worker is not what the sweep began with."""
        rows = {}
        waiting = []
        for number, settings in sets:
            row = self.before.get(number)
            if row is not None and not row.error and row.settings == list(settings):
                rows[number] = row
            else:
                waiting.append((number, settings))
        waiting.reverse()
        room = TASKS_PER_WORKER * max(1, len(self.seen))
        submitted: dict[str, tuple[int, Settings]] = {}
        results = as_completed()
        while waiting or submitted:
            while waiting and len(submitted) < room:
                number, settings = waiting.pop()
                future = self.client.submit(run_set, self._task(number, settings), pure=False)
                submitted[future.key] = (number, settings)
                results.add(future)
            future = self._next(results)
            number, settings = submitted.pop(future.key)
            rows[number] = self._take(future, number, settings)
            write_row(self.folder, rows[number])
            self._count_workers()
            self.shown(rows[number])
        return rows

    def _task(self, number: int, settings: Settings) -> Task:
        return Task(
            number=number,
            settings=settings,
            config_path=self.plan.config_file,
            config_text=toml_text(with_settings(self.document, settings)),
            base_text=self.plan.config_text,
            release=self.plan.release,
            keep_in=str(self.folder / "runs") if self.keep else "",
        )

    def _take(self, future: Any, number: int, settings: Settings) -> Row:
        try:
            row: Row = future.result()
        except ReleaseError as error:
            raise HostError(str(error)) from None
        except KilledWorker as error:
            said = f"every worker that had it died, {error.allowed_failures + 1} in all: is there memory left?"
            return Row(number=number, settings=list(settings), error=said)
        except Exception as error:
            # What the worker could not even begin: its Crosswire can't load the task.
            raise HostError(f"a worker can't run a set: {type(error).__name__}: {one_line(error)}") from None
        return row

    def _next(self, results: Any) -> Any:
        """Wait for a set that is done, and say meanwhile who is gone: without a worker left nothing else would."""
        looked_s = time.monotonic()
        while not results.has_ready():
            time.sleep(WAIT_S)
            if time.monotonic() - looked_s >= LOOK_S:
                self._count_workers()
                looked_s = time.monotonic()
        return next(results)

    def _count_workers(self) -> None:
        there = worker_addresses(self.client)
        lost = len(self.seen.keys() - there.keys())
        self.seen = there
        self.workers_lost += lost
        if lost:
            left = f"{len(there)} are left" if there else "none is left: it goes on when there is one again"
            self.shown.say(f"{workers_lost_text(lost)}; {left}")
