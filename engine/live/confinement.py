"""What a live run needs once its rings are open: nothing but its records, its captures and its venues' ports."""

from pathlib import Path

from crosswire.engine.config import RunConfig, parse_endpoint
from crosswire.nic.host.confine import confine
from crosswire.nic.host.landlock import Places

# Locked memory may grow only with the first; the run folder may be another user's.
KEPT_CAPABILITIES = ("CAP_IPC_LOCK", "CAP_DAC_OVERRIDE")


def confine_live(config: RunConfig, config_path: Path, records: tuple[Path, ...], capture: Path | None) -> str:
    """Confine the process before its loop starts; return one line of what was obtained.

    `records` are the run's own folder and where its journal's memory is. The calling thread, and those that it
    starts, are still to call `keep_capabilities`. HostError as `confine`.
    """
    ports = [port for venue in config.venue for port in venue.order_entry.account_ports(venue.settings)]
    gateways = [text for venue in config.venue if venue.live for text in (venue.live.gateway, venue.live.gateway_b)]
    places = Places(
        read=(config_path,),  # the report shows it
        write=records if capture is None else (*records, capture),
        connect=tuple({*ports, *(parse_endpoint(text, "live.gateway")[1] for text in gateways if text)}),
    )
    # Real-time scheduling is taken up by the loop's thread when it begins, which then gives this up as we do.
    is_fifo = config.live is not None and config.live.scheduling == "fifo"
    return confine(places, KEPT_CAPABILITIES, ("CAP_SYS_NICE",) if is_fifo else ())
