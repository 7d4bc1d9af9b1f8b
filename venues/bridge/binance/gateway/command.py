"""What `crosswire bridge binance` is; the bridge itself is imported when it is started."""

from crosswire.venues.adapter import ProcessSetup
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig
from crosswire.venues.errors import VenueError


def run(config: BridgeConfig, setup: ProcessSetup) -> None:
    """Run the bridge until it is told to end. ValueError: a fault of the configuration; VenueError."""
    try:
        from crosswire.venues.bridge.binance.gateway.bridge import run_bridge
    except ModuleNotFoundError as error:
        raise VenueError(f"{error.name} is missing: install crosswire[bridge]") from None
    run_bridge(config, setup)
