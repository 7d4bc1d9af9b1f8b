"""What the checks are told of a configuration: core, interfaces, rings, ports, gateways, files."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from crosswire.engine.config import LiveConfig, RunConfig, VenueConfig, parse_endpoint
from crosswire.engine.live.capabilities import needed_capabilities
from crosswire.engine.live.rings import has_own_tcp, parse_group
from crosswire.nic.host.doctor.check import KeptPath, Plan, Wire
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.rings.xdp.af_xdp import FRAME_BYTES
from crosswire.nic.unit.store import store_folder

LOOPBACK = "lo"
_IS_UP = 0x1  # IFF_UP


def plan_of(config: RunConfig, live: LiveConfig, config_path: Path, output: Path) -> Plan:
    """Tell what a live run of a configuration will do on this host. ConfigError: it names no wires that can be."""
    return Plan(
        is_configured=True,
        core=live.core,
        is_fifo=live.scheduling == "fifo",
        locks_memory=live.lock_memory,
        capabilities=tuple(dict.fromkeys(name for name, _ in needed_capabilities(config, live))),
        wires=tuple(wire_of(venue, live, config_path) for venue in config.venue),
        paths=(
            KeptPath(what=config_path.name, path=config_path),
            *key_files(config, config_path),
            KeptPath(what="the compile cache", path=store_folder(), is_made=True),
            KeptPath(what="the run folders", path=output, is_made=True),
        ),
    )


def wire_of(venue: VenueConfig, live: LiveConfig, config_path: Path) -> Wire:
    """Tell what a venue asks of its interface."""
    own = venue.live
    assert own is not None
    groups = [parse_group(text, f"venue {venue.name}: live.groups") for text in own.groups]
    endpoints = [
        parse_endpoint(text, f"venue {venue.name}: live.gateway") for text in (own.gateway, own.gateway_b) if text
    ]
    asks_kernel = has_own_tcp(venue, config_path) and not own.gateway_mac
    return Wire(
        name=own.interface,
        namespace=live.namespace,
        ring=own.ring,
        queue=own.queue,
        require=own.require or "",
        groups=tuple((group.ip, group.port) for group in groups),
        gateways=tuple(ip for ip, _ in endpoints) if asks_kernel else (),
        busy_poll_us=own.busy_poll_us,
        sets_coalescing=own.coalesce_us is not None,
        steers=own.flow_steering,
        memory_bytes=2 * own.frames * FRAME_BYTES[0] if own.ring == "af_xdp" else 0,
        far=(live.exchange_namespace, own.exchange_interface) if own.exchange_interface else None,
    )


def key_files(config: RunConfig, config_path: Path) -> Iterator[KeptPath]:
    """List the files with API keys that the venues' own tables name."""
    for venue in config.venue:
        if not isinstance(venue.settings, msgspec.Struct):
            continue
        for key, value in msgspec.structs.asdict(venue.settings).items():
            if (key == "credentials" or key.endswith("_credentials")) and value:
                yield KeptPath(what=f"{venue.name}.{key}", path=config_path.parent / value, is_secret=True)


def general_plan(host: Host, core: int | None, output: Path) -> Plan:
    """Look at the host as it is: every interface that is up."""
    names = [path.split("/")[4] for path in host.paths("/sys/class/net/*/flags") if _is_up(host, path)]
    return Plan(
        core=core,
        wires=tuple(Wire(name=name) for name in names if name != LOOPBACK),
        paths=(
            KeptPath(what="the compile cache", path=store_folder(), is_made=True),
            KeptPath(what="the run folders", path=output, is_made=True),
        ),
    )


def _is_up(host: Host, flags: str) -> bool:
    return bool(int(host.text(flags) or "0", 16) & _IS_UP)


def spun_core(host: Host, plan: Plan) -> int:
    """Choose the core that jitter is measured on: the loop's, else the last that this process may use."""
    return plan.core if plan.core is not None else max(host.calls.affinity() or os.sched_getaffinity(0))
