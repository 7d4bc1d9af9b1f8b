"""Goal: what a run shares is found by its name, and what is no such run, or another release's, is refused in one line.

Method: a run is built and shared as `crosswire live` does it, and looked at from another process, which can be killed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.build.run import Run, build_core
from crosswire.engine.config import load_config
from crosswire.engine.control.attach import attach, consistent
from crosswire.engine.control.mailbox import LOOK_NS, client_text
from crosswire.engine.control.obey import hear_operator
from crosswire.engine.control.parameters import set_control
from crosswire.engine.control.share import MAILBOX_LINK, MEMORY_LINK, SharedRun, layout_digest
from crosswire.engine.journal.description import write_description
from crosswire.engine.live.rings import blank_ring, make_all_parts
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import make_run_folder
from crosswire.nic.clock import LiveClock
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import FOLDER, MemoryJournal, make_journal
from crosswire.nic.memory.struct import Struct, i64
from crosswire.venues.starbase.orders.state import StarbaseSession
from tests.support.paths import ROOT

READER = """
import json, sys
from pathlib import Path
from crosswire.engine.control.attach import Command, attach
from crosswire.engine.control.mailbox import CommandKind
from crosswire.engine.control.parameters import named_parameters
from crosswire.nic.host.process import HostError
try:
    with attach(Path(sys.argv[1]), sys.argv[2]) as run:
        engine = run.engine
        terms = [engine.gate.instruments[n] for n in range(engine.market.count)]
        symbols = [bytes(each.symbol).rstrip(bytes(1)).decode() for each in terms]
        seen = {
            "name": run.name, "frames": engine.state.frames, "symbols": symbols, "config": run.config.name,
            "sessions": [type(part.session).__name__ for part in run.parts],
            "session_orders": [part.session.orders_sent for part in run.parts],
            "by_venue": [engine.venues[n].session.orders_sent for n in range(engine.venue_count)],
            "parameters": {each.name: str(each.now) for each in named_parameters(engine)},
            "order": [engine.orders.orders[5].price_ticks, engine.seats[0].desk.positions[1].position_lots],
        }
        try:
            run.post(Command(CommandKind.PAUSE, "alice"), 0.05)
        except HostError as error:
            seen["said"] = str(error)
        logon = getattr(getattr(run.parts[0].session, "links", [None])[0], "templates", None)
        if logon is not None:
            try:
                logon.logon
            except ValueError as error:
                seen["secret"] = str(error)
        if sys.argv[3:] == ["write"]:
            engine.state.frames = 1
        print(json.dumps(seen))
except HostError as error:
    print(json.dumps({"refused": str(error)}))
"""


class Shared:
    """A run that is shared, and nothing turns it."""

    def __init__(self, folder: Path, example: str, closing: ExitStack) -> None:
        path = ROOT / "examples" / f"{example}.toml"
        self.runs, config = folder / "runs", load_config(path)
        self.shared = SharedRun(closing)
        with self.shared.arena.allocating():
            core = build_core(config, path)
            blanks = [blank_ring(venue, path) for venue in config.venue]
            parts = make_all_parts(config, path, core.engine.market, blanks)
            self.run = Run(config, path, core, parts, LiveClock(), [])
            set_control(core, config)
        self.name, self.folder = config.name, make_run_folder(self.runs, config.name, "")
        kept = MemoryJournal(core.engine.journal, self.folder / FOLDER)
        write_description(core.engine.journal, describe_run(core, config, path, "live", "", None))
        kept.take()
        self.shared.publish(self.run, blanks, self.folder)

    def seen(self, *arguments: str) -> dict[str, Any]:
        """What another process sees."""
        command = [sys.executable, "-c", READER, str(self.runs), self.name, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, (result.returncode, result.stderr)
        seen: dict[str, Any] = json.loads(result.stdout)
        return seen


@pytest.fixture
def starbase(tmp_path: Path) -> Iterator[Shared]:
    with ExitStack() as closing:
        yield Shared(tmp_path, "starbase", closing)


def test_another_process_sees_all_of_it_but_secrets(starbase: Shared) -> None:
    engine, run = starbase.run.engine, starbase.run
    engine.state.frames = 12
    engine.orders.orders[5].price_ticks = 77
    engine.seats[0].desk.positions[1].position_lots = -3
    for number, part in enumerate(run.parts):
        part.session.orders_sent = 100 + number
    seen = starbase.seen()
    assert (seen["name"], seen["config"], seen["frames"]) == (run.config.name, run.config.name, 12)
    assert seen["symbols"] == [each.symbol for venue in run.config.venue for each in venue.instrument]
    assert seen["order"] == [77, -3]
    assert seen["session_orders"] == seen["by_venue"] == [100 + number for number in range(len(run.parts))]
    assert "StarbaseSession" in seen["sessions"]
    first = run.config.venue[0].instrument[0]
    name = f"venue.{run.config.venue[0].name}.instrument.{first.symbol}.limits.order_max"
    assert seen["parameters"][name] == str(first.limits.order_max.normalize() + 0)
    assert "limits.loss_max" in seen["parameters"]
    assert seen["said"].endswith("the loop has not answered command 1 in 0.05 s")
    assert seen["secret"].endswith("are not shared")


def test_no_secret_is_in_its_memory(starbase: Shared) -> None:
    session = next(part.session for part in starbase.run.parts if isinstance(part.session, StarbaseSession))
    secret = bytes(session.links[0].templates.logon.message.secret).rstrip(b"\0")
    assert len(secret) > 3
    assert secret not in starbase.shared.arena.shared.path.read_bytes()


def test_a_write_is_a_fault(starbase: Shared) -> None:
    command = [sys.executable, "-c", READER, str(starbase.runs), starbase.name, "write"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (-11, "")
    assert starbase.run.engine.state.frames == 0


def test_another_release_is_refused(starbase: Shared) -> None:
    digest = starbase.shared.header.digest
    digest[3] = digest[3] ^ 1
    assert starbase.seen()["refused"].endswith("is of another release of Crosswire: look at it with that one")


@pytest.mark.parametrize("field", ["magic", "root_count", "address"])
def test_a_header_that_makes_no_sense_is_refused(starbase: Shared, field: str) -> None:
    header = starbase.shared.header
    if field == "magic":
        header.magic[0] = 1
    else:
        setattr(header, field, 1 << 40 if field == "root_count" else 4096)
    assert starbase.folder.name in starbase.seen()["refused"]


def test_a_layout_that_differs_anywhere_has_another_digest() -> None:
    class Part(Struct):
        first: i64
        second: i64

    class Whole(Struct):
        part: Part

    digests = {layout_digest([]), layout_digest([Part]), layout_digest([Whole])}
    Part.fields["second"].offset += 8
    digests.add(layout_digest([Whole]))
    assert len(digests) == 4


def test_nothing_is_found_where_nothing_is_traded(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no run is being traded there"):
        attach(tmp_path, "nobody")
    with ExitStack() as closing:
        shared = Shared(tmp_path, "synthetic", closing)
        assert (shared.folder / MEMORY_LINK).is_symlink()
        assert "frames" in shared.seen()
    assert not (shared.folder / MEMORY_LINK).is_symlink()
    assert not (shared.folder / MAILBOX_LINK).is_symlink()
    assert "no run is being traded there" in shared.seen()["refused"]


def test_what_was_left_by_a_kill_is_no_run(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom contextlib import ExitStack\nfrom pathlib import Path\n"
        "from tests.engine.control.test_attach import Shared\n"
        "shared = Shared(Path(sys.argv[1]), 'synthetic', ExitStack())\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    name = load_config(ROOT / "examples" / "synthetic.toml").name
    link = tmp_path / "runs" / name / "latest" / MEMORY_LINK
    left = link.readlink()
    assert left.exists()
    with pytest.raises(HostError, match="has ended, without leaving in order"):
        attach(tmp_path / "runs", name)
    with ExitStack() as closing:
        SharedRun(closing)
        assert not left.exists()


POSTER = """
import sys
from pathlib import Path
from crosswire.engine.control.attach import Command, attach
from crosswire.engine.control.mailbox import CommandKind
with attach(Path(sys.argv[1]), sys.argv[2]) as run:
    numbers = [run.post(Command(CommandKind.SET, sys.argv[3], items=[(0, 1)]), 20.0).number for _ in range(30)]
    print(*numbers)
"""


def test_of_several_that_command_each_is_answered_once(starbase: Shared) -> None:
    engine = starbase.run.engine
    engine.journal = make_journal()  # whatever is written is dropped
    command = [sys.executable, "-c", POSTER, str(starbase.runs), starbase.name]
    names = ("anna", "ben", "cleo")
    posters = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in names]
    now_ns = 0
    while any(poster.poll() is None for poster in posters):
        now_ns += LOOK_NS
        hear_operator(engine, now_ns)
    numbers = [int(each) for poster in posters for each in poster.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 91))
    assert sum(engine.control.outcomes) == 90
    assert client_text(bytes(engine.control.command.client)) in names


def test_reading_is_repeated_until_it_agrees() -> None:
    values = iter([1, 2, 2, 3])
    assert consistent(lambda: next(values)) == 2
    counting = iter(range(1_000))
    assert consistent(lambda: next(counting)) is None
