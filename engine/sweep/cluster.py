"""Where sets run: processes of this machine, or the workers of a Dask scheduler that somebody has started."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from crosswire.engine.sweep.plan import Plan
from crosswire.engine.sweep.warm import compile_all, compile_in_process
from crosswire.nic.host.process import HostError
from crosswire.nic.unit.build import core_count

CONNECT_S = 10  # how long a scheduler, and a first worker, may take to answer
WORKERS_MAX = 256
# Dask serves pages to everybody on the machine, on a port of its own choice, with or without a dashboard.
NO_PAGES: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}


@contextmanager
def connected(scheduler: str, workers: int) -> Iterator[Any]:
    """Connect to a scheduler or, without its address, start workers here that only this machine can reach.

    HostError: nothing answers there, or it has no workers.
    """
    quiet = logging.CRITICAL  # what a worker's death means is said by the sweep itself
    if not scheduler:
        with (
            dask.config.set(NO_PAGES),
            LocalCluster(
                n_workers=workers or core_count(),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                worker_dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of the server that has no pages
                memory_limit=0,
                silence_logs=quiet,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    logging.getLogger("distributed").setLevel(quiet)
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        said = " ".join(str(error).split())
        raise HostError(f"--scheduler {scheduler}: {said}; start one with `dask scheduler`") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise HostError(f"--scheduler {scheduler}: has no workers; start one with `dask worker`") from None
        yield client


def worker_addresses(client: Any) -> dict[str, str]:
    """List the workers that are there: the host of each, by its address."""
    return {address: about["host"] for address, about in client.scheduler_info(n_workers=-1)["workers"].items()}


def compile_here(plan: Plan) -> list[str]:
    """Compile for workers of this machine, before they are started: this process has no threads yet."""
    return compile_all(plan.config_text, Path(plan.config_file))


def compile_on_hosts(client: Any, plan: Plan) -> list[str]:
    """Compile once on each host that has workers; return the units' names. CompileError."""
    first_of = {host: address for address, host in worker_addresses(client).items()}
    futures = [
        client.submit(compile_in_process, plan.config_text, plan.config_file, workers=[address], pure=False)
        for address in first_of.values()
    ]
    return [name for names in client.gather(futures) for name in names]
