"""A monitor's server in this process, over a run that is made of real structs and trades nothing."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from crosswire.engine.build.run import Core, build_core
from crosswire.engine.config import ControlConfig, RunConfig, load_config
from crosswire.engine.control.attach import Answer, Command, Part
from crosswire.engine.control.mailbox import Outcome
from crosswire.engine.control.parameters import set_control
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.address import Address
from crosswire.engine.monitor.authority import ClientList
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.command_log import CommandLog
from crosswire.engine.monitor.keys import load_client_key, load_server_key, make_keys
from crosswire.engine.monitor.messages import Role
from crosswire.engine.monitor.monitor import listen, make_folder
from crosswire.engine.monitor.server import Server
from crosswire.engine.monitor.snapshot import Snapshot
from crosswire.engine.monitor.watch import Watch
from crosswire.nic.host.process import HostError
from crosswire.nic.unit.compile import Compiled
from tests.support.paths import ROOT

CONFIG = ROOT / "examples" / "synthetic.toml"
ROLES = {"vera": Role.VIEWER, "olga": Role.OPERATOR, "tess": Role.TRADER}


def make_core() -> tuple[RunConfig, Core]:
    """Make an example's structs, without a line to trade on."""
    import msgspec

    config = msgspec.structs.replace(load_config(CONFIG), control=ControlConfig(keys="keys"))
    core = build_core(config, CONFIG)
    set_control(core, config)
    return config, core


@dataclass
class FakeRun:
    """What `Attached` is, as far as a monitor knows it: real structs, and a mailbox that says what it is told to."""

    config: RunConfig
    core: Core
    folder: Path
    outcome: Outcome = Outcome.DONE
    is_stopped: bool = False
    alive: bool = True
    posted: list[Command] = field(default_factory=list)
    patience_s: list[float] = field(default_factory=list)

    @property
    def engine(self) -> Any:
        return self.core.engine

    @property
    def parts(self) -> list[Part]:
        return [Part(number, None, None, None) for number in range(len(self.config.venue))]

    def is_alive(self) -> bool:
        return self.alive

    def post(self, command: Command, timeout_s: float) -> Answer:
        assert timeout_s > 0
        self.posted.append(command)
        self.patience_s.append(timeout_s)
        if self.is_stopped:
            time.sleep(timeout_s)
            raise HostError(f"{self.folder}: the loop has not answered")
        return Answer(len(self.posted), self.outcome, 0)

    def close(self) -> None:
        self.alive = False


class FakeWatch(Watch):
    """Has the run that a test gives it."""

    def __init__(self, run: FakeRun | None) -> None:
        super().__init__(Path("/nowhere"), "synthetic", lambda *_words, **_fields: None)
        self.show(run)

    def show(self, run: FakeRun | None) -> None:
        """Have another run, or none."""
        self.snapshot = Snapshot(run) if run is not None else None  # type: ignore[arg-type]
        self.is_alive = run is not None

    def look(self) -> None:
        pass


@dataclass
class Monitor:
    """A server that serves in a thread, and what it serves."""

    folder: Path
    server: Server
    run: FakeRun
    watch: FakeWatch

    @property
    def address(self) -> str:
        return f"ipc://{self.folder / 'socket'}"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def client(self, name: str, timeout_s: float = 20.0) -> Client:
        """Make a client of it."""
        return Client(self.address, load_client_key(self.keys, name), timeout_s)

    def refused(self, name: str) -> int:
        """Tell how often something was refused."""
        return next((each.count for each in self.server.counters() if each.name == name), 0)


@contextmanager
def serving(folder: Path, run: FakeRun | None = None) -> Iterator[Monitor]:
    """Serve a run to vera, olga and tess."""
    if not (folder / "keys").exists():
        for name, role in ROLES.items():
            make_keys(folder / "keys", name, role)
    make_folder(folder)
    if run is None:
        config, core = make_core()
        run = FakeRun(config, core, folder / "20261129T000000Z-00000000")
    watch = FakeWatch(run)
    inner = folder / ".inner"
    with CommandLog(folder) as log:
        server = Server(
            listen(Address(path=folder / "socket")),
            (listen(Address(path=inner)), inner),
            load_server_key(folder / "keys"),
            ClientList(folder / "keys"),
            log,
            watch,
        )
        # As in a monitor: read by the interpreter. Compiled, its first answer would wait for the compiler.
        call_from_python, Compiled.call_from_python = Compiled.call_from_python, None
        is_over = threading.Event()
        thread = threading.Thread(target=server.serve, args=(is_over.is_set, 0.02), daemon=True)
        thread.start()
        try:
            yield Monitor(folder, server, run, watch)
        finally:
            is_over.set()
            thread.join(10)
            Compiled.call_from_python = call_from_python
            assert not thread.is_alive()
            server.close()


class RawClient:
    """A client that says what a test wants it to say."""

    def __init__(self, monitor: Monitor, name: str, **options: int) -> None:
        key = load_client_key(monitor.keys, name)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        for option, value in options.items():
            setattr(self.socket, option, value)
        self.socket.curve_publickey, self.socket.curve_secretkey = key.public, key.secret
        self.socket.curve_serverkey = key.server
        self.socket.connect(monitor.address)
        self.number = 0
        self.session = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def envelope(self, request: m.Request, **changed: Any) -> bytes:
        """Make the next request, or one with something changed."""
        self.number += 1
        fields: dict[str, Any] = {"version": m.VERSION, "session": self.session, "number": self.number}
        fields |= {"sent_ns": time.time_ns(), "request": request, **changed}
        return m.encode(m.Envelope(**fields))

    def begin(self) -> "RawClient":
        """Begin a session."""
        answer = self.ask(self.envelope(m.Hello()))
        assert isinstance(answer, m.Welcome)
        self.session = answer.session
        return self

    def send(self, parts: bytes | Sequence[bytes]) -> None:
        """Send a message."""
        self.socket.send_multipart([parts] if isinstance(parts, bytes) else list(parts))

    def receive(self, timeout_s: float = 20.0) -> m.AnyAnswer | None:
        """Wait for an answer; None: there is none."""
        if not self.socket.poll(int(timeout_s * 1000)):
            return None
        return m.decode_reply(self.socket.recv()).answer

    def ask(self, parts: bytes | Sequence[bytes]) -> m.AnyAnswer | None:
        """Send a message and wait for its answer."""
        self.send(parts)
        return self.receive()
