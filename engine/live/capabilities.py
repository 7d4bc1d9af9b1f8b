"""Which capabilities a live run needs, and what for."""

from collections.abc import Iterator

from crosswire.engine.config import LiveConfig, RunConfig
from crosswire.nic.host.process import need_capability


def needed_capabilities(config: RunConfig, live: LiveConfig) -> Iterator[tuple[str, str]]:
    """List (capability, what needs it)."""
    if live.lock_memory:
        yield "CAP_IPC_LOCK", "live.lock_memory"
    if live.scheduling == "fifo":
        yield "CAP_SYS_NICE", 'live.scheduling = "fifo"'
    yield "CAP_SYS_ADMIN", "live: warming up in a network namespace of its own"
    for venue in config.venue:
        if venue.live is not None and venue.live.ring != "sockets":
            yield "CAP_NET_RAW", f"venue {venue.name}: ring {venue.live.ring}"
        if venue.live is not None and venue.live.ring == "af_xdp":
            yield "CAP_NET_ADMIN", f"venue {venue.name}: ring af_xdp"


def check_capabilities(config: RunConfig, live: LiveConfig) -> None:
    """Raise a HostError that names the first missing capability and what needs it."""
    for name, purpose in needed_capabilities(config, live):
        need_capability(name, purpose)
