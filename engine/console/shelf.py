"""The runs that a console shows: which there are, and the few that are made again at a time."""

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crosswire.engine.console.replayed import ReplayedRun
from crosswire.engine.errors import KNOWN_ERRORS, ExplainError
from crosswire.engine.journal.description import need_description
from crosswire.engine.journal.list import listed
from crosswire.engine.runs import run_folders

OPEN_MAX = 2  # runs at hand at once: each takes some 150 MB


@dataclass
class Opened:
    """A run that is being made again, or was."""

    run: ReplayedRun
    lock: threading.Lock
    thread: threading.Thread
    is_ready: bool = False
    failure: str = ""


class Shelf:
    """Runs by their names, "name/stamp"."""

    def __init__(self, output: Path, folders: list[Path]) -> None:
        """Show these runs, or all in `output` without any."""
        self.output = output
        self.given = {f"{each.resolve().parent.name}/{each.resolve().name}": each.resolve() for each in folders}
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()  # one at a time: the machine may have other work

    def folders(self) -> dict[str, Path]:
        """Find the runs."""
        if self.given:
            return self.given
        parents = sorted(path for path in self.output.iterdir() if path.is_dir()) if self.output.is_dir() else []
        found = [folder for parent in parents for folder in run_folders(parent)]
        return {f"{each.parent.name}/{each.name}": each.resolve() for each in found}

    def list(self) -> list[dict[str, Any]]:
        """Describe all runs, the last one of a name first."""
        return [asdict(listed(folder)) for folder in self.folders().values()]

    def open(self, name: str) -> Opened:
        """Begin to make a run again, unless it was. ExplainError: there is no such run; ConfigError: has no files."""
        with self._lock:
            if name in self._opened:
                self._opened.move_to_end(name)
                return self._opened[name]
            folder = self.folders().get(name)
            if folder is None:
                raise ExplainError(f"{name}: there is no such run here")
            description = need_description(folder)
            run = ReplayedRun(folder, description)
            opened = Opened(run, threading.Lock(), threading.Thread(target=lambda: self._make(opened), daemon=True))
            self._opened[name] = opened
            while len(self._opened) > OPEN_MAX:
                self._opened.popitem(last=False)
            opened.thread.start()
            return opened

    def _make(self, opened: Opened) -> None:
        with self._making:
            try:
                opened.run.begin()
            except KNOWN_ERRORS as error:
                opened.failure = str(error)
            except Exception as error:  # in a thread nobody else would tell, and the page would wait for ever
                opened.failure = f"{opened.run.folder} can't be made again: {type(error).__name__}: {error}"
            else:
                opened.is_ready = True
