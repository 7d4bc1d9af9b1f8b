"""Listen keys of USD-M's user data stream: made, kept alive, and lost after an hour without that.

One key an account: asking again gives the same one and keeps it alive (developers.binance.com,
usds-margined-futures/user-data-streams). When it dies, its stream is told `listenKeyExpired`. It outlives the
exchange's process, as it does the venue's.
"""

import secrets
from collections.abc import Callable
from typing import Any

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.bridge.binance.exchange.errors import NO_LISTEN_KEY, ApiError
from crosswire.venues.bridge.binance.exchange.rest import Endpoint, Security
from crosswire.venues.bridge.binance.exchange.venue import VenueClock

KEY_BYTES = 32


class ListenKeys:
    """The key of the account, if there is one. `send` takes (key, event)."""

    def __init__(
        self,
        clock: VenueClock,
        life_s: float,
        send: Callable[[str, dict[str, Any]], None],
        write: Callable[[dict[str, Any]], None],
    ) -> None:
        self.clock = clock
        self.life_ns = round(life_s * NS_PER_S)
        self.send = send
        self.write = write  # into the exchange's memory
        self.key = ""
        self.dies_ns = 0

    def endpoints(self) -> list[Endpoint]:
        """List the functions over REST, which need a key and no signature."""
        path = "/fapi/v1/listenKey"
        calls = (("POST", self.start), ("PUT", self.keep), ("DELETE", self.stop))
        return [Endpoint(method, path, lambda _: 1, call, Security.KEY) for method, call in calls]

    def restore(self, step: dict[str, Any]) -> None:
        """Take up what an earlier process wrote."""
        self.key, self.dies_ns = str(step["listen_key"]), int(step["dies_ns"])

    def _set(self, key: str) -> None:
        """Have a key live from now on, or none."""
        self.key = key
        self.dies_ns = self.clock.now_ns() + self.life_ns
        self.write({"listen_key": self.key, "dies_ns": self.dies_ns})

    def live_key(self) -> str:
        """Give the key that is alive; "" if none is."""
        if self.key and self.clock.now_ns() >= self.dies_ns:
            self.expire()
        return self.key

    def start(self, _: dict[str, str]) -> dict[str, Any]:
        """Make a key, or keep the one that there is."""
        self._set(self.live_key() or secrets.token_hex(KEY_BYTES))
        return {"listenKey": self.key}

    def keep(self, _: dict[str, str]) -> dict[str, Any]:
        """Keep the key alive."""
        if not self.live_key():
            raise ApiError(*NO_LISTEN_KEY)
        self._set(self.key)
        return {"listenKey": self.key}

    def stop(self, _: dict[str, str]) -> dict[str, Any]:
        """End the key."""
        if not self.live_key():
            raise ApiError(*NO_LISTEN_KEY)
        self._set("")
        return {}

    def expire(self) -> None:
        """Let the key die, and tell its stream."""
        key = self.key
        self._set("")
        self.send(key, {"e": "listenKeyExpired", "E": self.clock.now_ms(), "listenKey": key})

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to who listens by the key."""
        if key := self.live_key():
            self.send(key, event)
