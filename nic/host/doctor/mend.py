"""Mending what checks found, one setting after the other, and undoing all of it.

What a setting was before is on the disk before it is changed: whatever ends a mend half-way, `undo` knows what to put
back. The record is root's alone, is replaced as a whole, and holds nothing but settings that `check_setting` allows.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.doctor.setting import Change, Setting, check_setting, read_setting, write_setting
from crosswire.nic.host.process import HostError
from crosswire.nic.host.trust import who_could_change

CHANGES_MAX = 4096  # of one record
_BOOT = "/proc/sys/kernel/random/boot_id"


class Changed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One setting that was changed, or was about to be."""

    setting: Setting
    before: str
    after: str  # as the kernel shows it; as it was asked for, where `is_done` is False
    is_done: bool


class Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What was changed since this boot and not undone, in its order."""

    version: int = 1
    boot: str
    changed: list[Changed] = []


def record_path() -> Path:
    """Return where the record is kept: crosswire/doctor-undo.json in the user's state folder."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "crosswire" / "doctor-undo.json"


class Mender:
    """Changes settings of a host, and puts them back. HostError: the record can't be used."""

    def __init__(self, host: Host, path: Path) -> None:
        self.host, self.path = host, path
        self.boot = host.text(_BOOT) or ""
        self.record = self._load()

    def _load(self) -> Record:
        try:
            if (found := who_could_change(self.path)) is not None:
                raise HostError(f"{self.path}: not believed: {found[0]} {found[1]}")
            record = msgspec.json.decode(self.path.read_bytes(), type=Record)
            for each in record.changed:
                check_setting(each.setting)
        except FileNotFoundError:
            return Record(boot=self.boot)
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}") from None
        except (msgspec.MsgspecError, KeyError) as error:
            raise HostError(f"{self.path}: is no record of what doctor changed: {error}") from None
        if record.version != 1:
            raise HostError(f"{self.path}: version {record.version} of the record, this program knows 1")
        return record

    @property
    def is_of_this_boot(self) -> bool:
        """Tell whether what the record has can still be so: no setting outlives the kernel that it was made in."""
        return self.record.boot == self.boot

    def _save(self) -> None:
        """Replace the record on the disk as a whole; an empty one is removed."""
        if not self.record.changed:
            self.path.unlink(missing_ok=True)
            return
        descriptor, new = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self.record)) + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.replace(new, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(new)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def apply(self, change: Change) -> bool:
        """Make one change; False if it is so already. HostError: it was refused, and nothing is changed by it."""
        before = read_setting(self.host, change.setting)
        if before == change.wanted:
            return False
        if not self.is_of_this_boot:
            self.record = Record(boot=self.boot)
        if len(self.record.changed) >= CHANGES_MAX:
            raise HostError(f"{self.path}: holds {CHANGES_MAX} changes; undo them first")
        entry = Changed(setting=change.setting, before=before, after=change.wanted, is_done=False)
        self.record.changed.append(entry)
        self._save()
        try:
            write_setting(self.host, change.setting, change.wanted)
            after = read_setting(self.host, change.setting)
            if after == before:
                raise HostError(f"{change.setting.place}: took {change.wanted!r}, and stays {before!r}")
        except HostError:
            self.record.changed.remove(entry)
            self._save()
            raise
        self.record.changed[-1] = msgspec.structs.replace(entry, after=after, is_done=True)
        self._save()
        return True

    def undo(self, tell: Callable[[str], None]) -> int:
        """Put everything back, the last change first; return how many could not be.

        What somebody else has set to something else since is left alone. What can't be put back stays in the record.
        """
        if not self.is_of_this_boot:
            tell("the host was started anew since: nothing of it is left to undo")
            self.record.changed.clear()
            self._save()
            return 0
        kept: list[Changed] = []
        while self.record.changed:
            entry = self.record.changed[-1]
            try:
                tell(f"{self._put_back(entry)}: {Change(setting=entry.setting, wanted=entry.before).command()}")
            except HostError as error:
                tell(f"refused: {error}")
                kept.insert(0, entry)
            self.record.changed.pop()
            self.record.changed, rest = kept + self.record.changed, self.record.changed
            self._save()
            self.record.changed = rest
        self.record.changed = kept
        self._save()
        return len(kept)

    def _put_back(self, entry: Changed) -> str:
        """Put one setting back; say what became of it."""
        try:
            now = read_setting(self.host, entry.setting)
        except HostError as error:
            return f"gone ({error})"
        if now == entry.before:
            return "so already"
        if entry.is_done and now != entry.after:
            return f"left alone, it was set to {now} since"
        write_setting(self.host, entry.setting, entry.before)
        if read_setting(self.host, entry.setting) != entry.before:
            raise HostError(f"{entry.setting.place}: took {entry.before!r}, and is something else")
        return "restored"


@contextmanager
def mender(host: Host, path: Path) -> Iterator[Mender]:
    """Give who mends and undoes, one at a time. HostError: another one is at it, or the record can't be used."""
    if os.geteuid() != 0:
        raise HostError("doctor changes settings as root only: sudo, or give the printed commands to who may")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(f"{path.parent}: another doctor is changing settings") from None
        yield Mender(host, path)
    finally:
        os.close(folder)
