"""`crosswire exchange` whose gateways bear any silence of their clients: python -m tests.support.patient_exchange ...

A gateway gives a client up about when the client does the gateway; what the client does by itself shows only here.
"""

from typing import Any

from crosswire.engine.cli import main
from crosswire.engine.exchange.command import ExchangeProcess
from crosswire.nic.duration import NS_PER_S
from crosswire.venues.bridge.wire.order_layout import SILENCE_INTERVALS

PATIENCE_S = 300
scale_heartbeats = ExchangeProcess.scale_heartbeats


def bear_silence(process: ExchangeProcess) -> None:
    """Let every gateway wait, whatever it was told; its heartbeats come as ever."""
    scale_heartbeats(process)
    for part in process.publisher.parts:
        exchange: Any = part.exchange
        if hasattr(exchange, "gateways"):
            exchange.gateways.grace_ns = PATIENCE_S * NS_PER_S
        else:
            exchange.gateway.patience_intervals = PATIENCE_S * SILENCE_INTERVALS


if __name__ == "__main__":
    ExchangeProcess.scale_heartbeats = bear_silence  # type: ignore[method-assign]
    main()
