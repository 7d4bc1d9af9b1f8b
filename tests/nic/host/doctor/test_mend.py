"""Mending and undoing: what was before is restored, in reverse, whatever happens half-way."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crosswire.nic.host.doctor import mend
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.doctor.mend import Mender, mender
from crosswire.nic.host.doctor.setting import Change, Setting, set_file, set_word
from crosswire.nic.host.process import HostError
from tests.support.made_host import made_host
from tests.support.paths import ROOT

WATCHDOG, STATS, THP = "/proc/sys/kernel/watchdog", "/proc/sys/vm/stat_interval", "/sys/kernel/mm/ksm/run"
BOOT = "/proc/sys/kernel/random/boot_id"
FILES = {WATCHDOG: "1", STATS: "1", THP: "2", BOOT: "this-boot"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return made_host(tmp_path / "host", FILES)


def value(host: Host, path: str) -> str | None:
    return host.text(path)


def open_mender(host: Host, tmp_path: Path) -> Mender:
    return Mender(host, tmp_path / "undo.json")


def quiet(_line: str) -> None:
    """Say nothing."""


def test_what_was_before_is_written_down_and_restored(host: Host, tmp_path: Path) -> None:
    hand = open_mender(host, tmp_path)
    assert hand.apply(set_file(WATCHDOG, 0))
    assert hand.apply(set_file(STATS, 10))
    assert (value(host, WATCHDOG), value(host, STATS)) == ("0", "10")
    assert stat.S_IMODE(hand.path.stat().st_mode) == 0o600
    told: list[str] = []
    # Another process: all that it knows is in the record.
    assert open_mender(host, tmp_path).undo(told.append) == 0
    assert (value(host, WATCHDOG), value(host, STATS)) == ("1", "1")
    assert [line.partition(": ")[2] for line in told] == [f"echo 1 > {STATS}", f"echo 1 > {WATCHDOG}"]
    assert not hand.path.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["host"]  # nor anything half-written


def test_what_is_so_already_is_not_written_down(host: Host, tmp_path: Path) -> None:
    hand = open_mender(host, tmp_path)
    assert not hand.apply(set_file(WATCHDOG, 1))
    assert not hand.path.exists()


def test_mending_twice_undoes_to_the_beginning(host: Host, tmp_path: Path) -> None:
    assert open_mender(host, tmp_path).apply(set_file(WATCHDOG, 0))
    again = open_mender(host, tmp_path)
    assert not again.apply(set_file(WATCHDOG, 0))
    assert len(again.record.changed) == 1
    again.undo(quiet)
    assert value(host, WATCHDOG) == "1"
    told: list[str] = []
    assert open_mender(host, tmp_path).undo(told.append) == 0
    assert told == []


def test_what_is_refused_is_not_undone(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(WATCHDOG, 0))

    def refuse(_host: Host, setting: Setting, _text: str) -> None:
        raise HostError(f"{setting.place}: Input/output error")

    monkeypatch.setattr(mend, "write_setting", refuse)
    with pytest.raises(HostError, match="Input/output error"):
        hand.apply(set_file(STATS, 10))
    assert [each.setting.place for each in open_mender(host, tmp_path).record.changed] == [WATCHDOG]


def test_a_value_that_does_not_take_is_an_error(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "write_setting", lambda *_: None)
    hand = open_mender(host, tmp_path)
    with pytest.raises(HostError, match="took '0', and stays '1'"):
        hand.apply(set_file(WATCHDOG, 0))
    assert not hand.path.exists()


@pytest.mark.parametrize("is_written", [False, True])
def test_what_dies_half_way_is_undone(host: Host, tmp_path: Path, is_written: bool) -> None:
    """The record is on the disk before the change: killed before it or after it, undo restores."""
    script = f"""
import os
from pathlib import Path
from crosswire.nic.host.doctor import mend
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.doctor.setting import set_file, write_setting
host = Host(Path({str(tmp_path / "host")!r}))
hand = mend.Mender(host, Path({str(tmp_path / "undo.json")!r}))
hand.apply(set_file({STATS!r}, 10))
def die(*arguments):
    if {is_written}:
        write_setting(*arguments)
    os.kill(os.getpid(), 9)
mend.write_setting = die
hand.apply(set_file({WATCHDOG!r}, 0))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ | {"PYTHONPATH": "src"}, check=False)
    assert done.returncode == -9
    assert (value(host, STATS), value(host, WATCHDOG)) == ("10", "0" if is_written else "1")
    assert open_mender(host, tmp_path).undo(quiet) == 0
    assert (value(host, STATS), value(host, WATCHDOG)) == ("1", "1")


def test_what_dies_half_way_is_undone_though_it_reads_otherwise(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shows a mask in its own form: until it was read again, what was written is not what is there."""

    def write_and_die(where: Host, setting: Setting, _text: str) -> None:
        where.place(setting.place).write_text("00000007\n")
        raise KeyboardInterrupt

    hand = open_mender(host, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(mend, "write_setting", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            hand.apply(set_file(STATS, 7))
    assert open_mender(host, tmp_path).undo(quiet) == 0
    assert value(host, STATS) == "1"


def test_a_record_is_bounded(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "CHANGES_MAX", 1)
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(STATS, 10))
    with pytest.raises(HostError, match="holds 1 changes; undo them first"):
        hand.apply(set_file(WATCHDOG, 0))
    assert value(host, WATCHDOG) == "1"


def test_what_somebody_else_has_set_since_is_left_alone(host: Host, tmp_path: Path) -> None:
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(STATS, 10))
    hand.apply(set_file(WATCHDOG, 0))
    host.place(STATS).write_text("60\n")
    told: list[str] = []
    assert hand.undo(told.append) == 0
    assert (value(host, STATS), value(host, WATCHDOG)) == ("60", "1")
    assert told[1].startswith("left alone, it was set to 60 since")


def test_what_is_gone_does_not_stop_the_undoing(host: Host, tmp_path: Path) -> None:
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(STATS, 10))
    hand.apply(set_file(WATCHDOG, 0))
    host.place(WATCHDOG).unlink()
    told: list[str] = []
    assert hand.undo(told.append) == 0
    assert told[0].startswith("gone (")
    assert value(host, STATS) == "1"


def test_what_can_not_be_restored_stays_in_the_record(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = open_mender(host, tmp_path)
    for change in (set_file(STATS, 10), set_file(WATCHDOG, 0), set_file(THP, 0)):
        hand.apply(change)
    with monkeypatch.context() as patch:
        real = mend.write_setting

        def refuse(where: Host, setting: Setting, text: str) -> None:
            if setting.place == WATCHDOG:
                raise HostError(f"{setting.place}: Device or resource busy")
            real(where, setting, text)

        patch.setattr(mend, "write_setting", refuse)
        assert hand.undo(quiet) == 1
    assert (value(host, STATS), value(host, WATCHDOG), value(host, THP)) == ("1", "0", "2")
    assert open_mender(host, tmp_path).undo(quiet) == 0
    assert value(host, WATCHDOG) == "1"


def test_no_setting_outlives_its_boot(host: Host, tmp_path: Path) -> None:
    open_mender(host, tmp_path).apply(set_file(STATS, 10))
    host.place(BOOT).write_text("the-next-boot\n")
    told: list[str] = []
    hand = open_mender(host, tmp_path)
    assert hand.undo(told.append) == 0
    assert "started anew" in told[0]
    assert value(host, STATS) == "10"
    assert not hand.path.exists()


@pytest.mark.parametrize(
    "change",
    [
        set_file("/etc/passwd", "x"),
        set_file("/sys/../etc/passwd", "x"),
        set_file("/proc/sysrq-trigger", "b"),
        set_word("../../x", "rings", "rx", 1),
        set_word("eth0", "rings", "tx-nothing", 1),
    ],
    ids=lambda change: change.setting.place,
)
def test_nothing_else_is_ever_written(host: Host, tmp_path: Path, change: Change) -> None:
    with pytest.raises(HostError, match=r"nothing that doctor sets|has no tx-nothing"):
        open_mender(host, tmp_path).apply(change)


def test_a_record_that_names_something_else_is_refused(host: Host, tmp_path: Path) -> None:
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(STATS, 10))
    record = json.loads(hand.path.read_text())
    record["changed"][0]["setting"]["place"] = "/etc/passwd"
    hand.path.write_text(json.dumps(record))
    with pytest.raises(HostError, match="/etc/passwd: is nothing that doctor sets"):
        open_mender(host, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.chmod(0o622), "can be written to by others"),
        (lambda path: path.write_text("{"), "is no record"),
        (lambda path: path.write_text(path.read_text().replace('"version": 1', '"version": 2')), "version 2"),
    ],
)
def test_a_record_is_believed_only_if_it_is_ours(
    host: Host, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    hand = open_mender(host, tmp_path)
    hand.apply(set_file(STATS, 10))
    spoil(hand.path)
    with pytest.raises(HostError, match=message):
        open_mender(host, tmp_path)


def test_one_at_a_time(host: Host, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "state" / "undo.json"
    with mender(host, path), pytest.raises(HostError, match="another doctor"), mender(host, path):
        pass
    with mender(host, path):
        pass


def test_root_only(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="as root only"), mender(host, tmp_path / "undo.json"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "host"]


class MendMachine(RuleBasedStateMachine):
    """Any order of mends, refusals and deaths: one undo brings everything back to where it began."""

    root: Path  # of the test

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.host = made_host(self.folder / "host", FILES)
        self.hand = Mender(self.host, self.folder / "undo.json")

    @rule(path=st.sampled_from((WATCHDOG, STATS, THP)), wanted=st.integers(0, 3))
    def apply(self, path: str, wanted: int) -> None:
        self.hand.apply(set_file(path, wanted))
        assert value(self.host, path) == str(wanted)

    @rule()
    def start_again(self) -> None:
        self.hand = Mender(self.host, self.folder / "undo.json")

    @rule(path=st.sampled_from((WATCHDOG, STATS, THP)), is_written=st.booleans())
    def die(self, path: str, is_written: bool) -> None:
        real = mend.write_setting

        def stop(host: Host, setting: Setting, text: str) -> None:
            if is_written:
                real(host, setting, text)
            raise KeyboardInterrupt

        mend.write_setting = stop
        try:
            self.hand.apply(set_file(path, 7))
        except KeyboardInterrupt:
            pass
        finally:
            mend.write_setting = real
        self.start_again()

    @precondition(lambda self: self.hand.record.changed)
    @rule()
    def undo(self) -> None:
        assert self.hand.undo(quiet) == 0
        assert {path: value(self.host, path) for path in FILES} == FILES

    @invariant()
    def record_is_on_the_disk(self) -> None:
        assert Mender(self.host, self.folder / "undo.json").record.changed == self.hand.record.changed


def test_any_order_of_mending_is_undone(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    MendMachine.root = tmp_path
    run_state_machine_as_test(MendMachine)  # type: ignore[no-untyped-call]
