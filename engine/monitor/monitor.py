"""`crosswire monitor`: from configuration to a confined process that serves whatever run of a name is traded."""

import os
import resource
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from crosswire.engine.config import ControlConfig, RunConfig, load_config
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor.address import (
    Address,
    address_of_metrics,
    address_of_run,
    control_folder,
    keys_folder,
    need_control,
)
from crosswire.engine.monitor.authority import ClientList
from crosswire.engine.monitor.command_log import CommandLog
from crosswire.engine.monitor.door import BACKLOG, CONNECTIONS_MAX, WAITING_MAX
from crosswire.engine.monitor.keys import load_server_key
from crosswire.engine.monitor.server import Server
from crosswire.engine.monitor.watch import Watch
from crosswire.engine.telemetry.log import Log, Say, logged, saying
from crosswire.nic.host.confine import confine
from crosswire.nic.host.file_lock import hold_file
from crosswire.nic.host.landlock import Places
from crosswire.nic.host.trust import who_could_change
from crosswire.nic.journal.walk import walk_unit
from crosswire.nic.memory.arena import SHARED_FOLDER
from crosswire.nic.unit.unit import load_units

if TYPE_CHECKING:
    from crosswire.engine.monitor.endpoint import Endpoint

INNER = ".inner"  # what the door joins connections with, beside the socket
LOCK = "lock"
FILES_MIN = 3 * (CONNECTIONS_MAX + WAITING_MAX) + 256  # file descriptors: each connection has two, and libzmq one


def run_monitor(config_path: Path, output: Path, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. ConfigError, ControlError, HostError, OSError: one line each."""
    config = load_config(config_path)
    control = need_control(config, config_path)
    with logged(config.log, config_path, config.name, "monitor", tell) as json_log:
        serve_runs(config, control, config_path, output, saying(tell, json_log), json_log)


def serve_runs(
    config: RunConfig, control: ControlConfig, config_path: Path, output: Path, say: Say, json_log: Log | None
) -> None:
    """Do what `run_monitor` says."""
    keys = keys_folder(control, config_path)
    address = address_of_run(control, output, config.name)
    folder = control_folder(output, config.name)
    need_files(FILES_MIN)
    load_units([walk_unit()])  # which reads what a run is in its journal: its cache is out of reach later
    with ExitStack() as closing:
        make_folder(folder)
        closing.callback(os.close, hold_folder(folder))
        key, clients = load_server_key(keys), ClientList(keys)
        log = closing.enter_context(CommandLog(folder))
        listener = closing.enter_context(listen(address))
        metrics = address_of_metrics(control)
        if metrics is not None and find_spec("prometheus_client") is None:
            raise ControlError("control.metrics needs prometheus-client: pip install crosswire[monitor]")
        scraped = None if metrics is None else closing.enter_context(listen(metrics))
        inner_path = folder / INNER
        inner = closing.enter_context(listen(Address(path=inner_path)))
        if address.path is not None:
            closing.callback(unlink_socket, address.path)
        closing.callback(unlink_socket, inner_path)
        write = [folder, SHARED_FOLDER]
        if json_log is not None:
            json_log.start()
            write.append(json_log.folder)
        places = Places(read=(config_path, keys, output / config.name), write=tuple(write), connect=())
        say(confine(places, ()), "confined")
        watch = Watch(output.absolute(), config.name, say)
        closing.callback(watch.close)
        server = closing.enter_context(Server(listener, (inner, inner_path), key, clients, log, watch))
        say(f"monitor of {config.name} at {address}, {len(clients)} clients on its list", "serving")
        endpoint = None if scraped is None else closing.enter_context(open_metrics(scraped, server))
        if metrics is not None:
            say(f"metrics at http://{metrics.host}:{metrics.port}/metrics{who_may_read(metrics)}", "serving_metrics")
        signals: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: signals.append(number))
        server.serve(lambda: is_over(signals, endpoint))
        watch.note_end()  # the last look may lie before it, and its log is what is left to read
        say(f"monitor of {config.name} ends ({signal.Signals(signals[0]).name})", "ended")


def open_metrics(listener: socket.socket, server: Server) -> "Endpoint":
    """Serve the metrics of what `server` watches, from a thread of its own."""
    from crosswire.engine.monitor.endpoint import Endpoint
    from crosswire.engine.monitor.metrics import Collector, render
    from crosswire.engine.monitor.own_metrics import own_values
    from crosswire.engine.monitor.run_metrics import RUN_METRICS

    endpoint = Endpoint(listener, lambda: render(collector))
    collector = Collector(server.watch, RUN_METRICS, lambda: own_values(server, endpoint, collector))
    endpoint.open()
    return endpoint


def is_over(signals: Sequence[int], endpoint: "Endpoint | None") -> bool:
    """Tell whether a signal has come. ControlError: metrics are not served any more."""
    if endpoint is not None and endpoint.failure:
        raise ControlError(f"the metrics have failed ({endpoint.failure}): start the monitor again; the run goes on")
    return bool(signals)


def who_may_read(metrics: Address) -> str:
    """Say who reads them where that is not this host alone."""
    is_loopback = IPv4Address(metrics.host).is_loopback
    return "" if is_loopback else ": whoever reaches it reads positions and P&L"


def need_files(least: int) -> None:
    """Have room for that many file descriptors. ControlError: the host gives fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < least:
        raise ControlError(f"the limit of open files is {hard}, the monitor needs {least}: raise it (ulimit -n)")
    if soft != resource.RLIM_INFINITY and soft < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))


def make_folder(folder: Path) -> None:
    """Make a folder that is ours alone. ControlError: others could change what is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = who_could_change(folder)
    if found is not None:
        raise ControlError(f"{folder}: {found[0]} {found[1]}: the monitor's socket must be out of others' reach")
    folder.chmod(0o700)


def hold_folder(folder: Path) -> int:
    """Have the folder for this process; return the file that is locked. ControlError: another monitor has it."""
    try:
        return hold_file(folder / LOCK)
    except BlockingIOError:
        raise ControlError(f"{folder}: another monitor serves this name") from None


def listen(address: Address) -> socket.socket:
    """Listen at an address; a socket file that nobody listens at is a leftover. ControlError."""
    if address.path is None:
        bound = socket.socket(socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        where: str | tuple[str, int] = (address.host, address.port)
    else:
        remove_left(address.path)
        bound = socket.socket(socket.AF_UNIX)
        where = str(address.path)
    try:
        before = os.umask(0o177)  # of the whole process, which has one thread yet
        try:
            bound.bind(where)
        finally:
            os.umask(before)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ControlError(f"{address}: {error.strerror}") from None
    return bound


def remove_left(path: Path) -> None:
    """Remove a socket file that nobody listens at. ControlError: somebody does, or it is no socket."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode):
        raise ControlError(f"{path}: is there, and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise ControlError(f"{path}: somebody serves there already")


def unlink_socket(path: Path) -> None:
    """Remove a socket file, if it is still there."""
    with suppress(OSError):
        path.unlink()
