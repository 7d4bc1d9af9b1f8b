"""How a message of a stream goes wrong: dropped, sent twice, late, after the next, cut short, or of an unknown kind."""

import asyncio
from collections.abc import Callable

from crosswire.venues.bridge.binance.exchange.faults import Faults

LATE_S = 0.25
UNKNOWN_EVENT = b'{"e":"newKindOfEvent","E":1,"x":[1,{"y":null}]}'
MALFORMED = b'{"e":"depthUpdate","E":17'


class Disturber:
    """Deals with messages that a fault strikes."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.held: dict[str, Callable[[], None]] = {}  # by stream: what goes out behind the next message

    def stream(self, name: str, payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        """Deal with a message of a market data stream; False: it is as it should be."""
        return self._disturb("stream", name, payload, deliver)

    def user(self, name: str, payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        """Deal with a user data event."""
        return self._disturb("user", name, payload, deliver)

    def _disturb(self, where: str, name: str, payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        if not self.faults.armed and name not in self.held:
            return False
        fault = self.faults.take(name, where)
        if fault == "reorder":
            self.held[name] = lambda: deliver(payload)
            return True
        if fault == "drop":
            pass
        elif fault == "duplicate":
            deliver(payload)
            deliver(payload)
        elif fault == "late":
            asyncio.get_running_loop().call_later(LATE_S, deliver, payload)
        elif fault == "malformed":
            deliver(MALFORMED)
            deliver(payload)
        elif fault == "unknown_event":
            deliver(UNKNOWN_EVENT)
            deliver(payload)
        else:
            deliver(payload)
        if name in self.held:
            self.held.pop(name)()
        return True
