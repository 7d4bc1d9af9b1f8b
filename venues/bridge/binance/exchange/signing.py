"""Keys, signatures and time windows, checked as the venue does.

rest-api.md, "SIGNED endpoint security": HMAC-SHA256 in hex, any case, or Ed25519 in base64, over the query string and
the body as sent; web-socket-api.md, "SIGNED request security": over `name=value` of all parameters but the signature,
in alphabetical order. A timestamp must be less than 1 s ahead of the server's and at most `recvWindow` behind it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.exchange.errors import (
    AHEAD_OF_SERVER,
    BAD_KEY_FORMAT,
    INVALID_SIGNATURE,
    LONG_WINDOW,
    NUMBER_RANGE,
    OUTSIDE_WINDOW,
    REJECTED_KEY,
    ApiError,
    illegal,
    is_number,
    missing,
)
from crosswire.venues.bridge.binance.exchange.settings import KeyConfig
from crosswire.venues.bridge.binance.exchange.venue import VenueClock
from crosswire.venues.errors import VenueError

WINDOW_DEFAULT_MS, WINDOW_MAX_MS, AHEAD_MS = 5_000, 60_000, 1_000
WINDOW = re.compile(r"[0-9]{1,20}(\.[0-9]{1,3})?", re.ASCII)
KEY_FORMAT = re.compile(r"[A-Za-z0-9_-]{8,128}")
MILLISECOND_DIGITS = 13  # more: microseconds, which spot takes, too


@dataclass(frozen=True)
class Key:
    """An API key, and what its signatures are checked by."""

    key: str
    can_trade: bool
    secret: bytes = b""
    public: Ed25519PublicKey | None = None

    def signed(self, payload: bytes, signature: str) -> bool:
        """Tell whether this key's owner signed it."""
        if self.public is None:
            made = hmac.new(self.secret, payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(made.encode(), signature.lower().encode())
        try:
            self.public.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def load_key(config: KeyConfig) -> Key:
    """Make a key; VenueError if its public key can't be read."""
    if config.secret:
        return Key(config.key, config.can_trade, secret=config.secret.encode())
    try:
        public = load_pem_public_key(Path(config.public_key).read_bytes())
    except (OSError, ValueError) as error:
        raise VenueError(f"{config.public_key}: {error}") from None
    if not isinstance(public, Ed25519PublicKey):
        raise VenueError(f"{config.public_key}: is no Ed25519 public key")
    return Key(config.key, config.can_trade, public=public)


class Verifier:
    """All keys of the account."""

    def __init__(self, keys: list[Key], clock: VenueClock) -> None:
        self.keys = {key.key: key for key in keys}
        self.clock = clock

    def find(self, name: str) -> Key:
        """Find a key by what the client gave."""
        if not KEY_FORMAT.fullmatch(name):
            raise ApiError(*BAD_KEY_FORMAT)
        if name not in self.keys:
            raise ApiError(*REJECTED_KEY)
        return self.keys[name]

    def check(self, key: Key, payload: bytes, params: dict[str, str]) -> None:
        """Check the signature and the time of a signed request."""
        if not params.get("signature"):
            raise missing("signature")
        self.check_time(params)
        if not key.signed(payload, params["signature"]):
            raise ApiError(*INVALID_SIGNATURE)

    def check_time(self, params: dict[str, str]) -> None:
        """Check the time of a request."""
        if not params.get("timestamp"):
            raise missing("timestamp")
        if not is_number(params["timestamp"]):
            raise illegal("timestamp", NUMBER_RANGE)
        window = params.get("recvWindow", str(WINDOW_DEFAULT_MS))
        if not WINDOW.fullmatch(window):
            raise illegal("recvWindow", NUMBER_RANGE)
        window_ms = float(window)
        if window_ms > WINDOW_MAX_MS:
            raise ApiError(*LONG_WINDOW)
        made = int(params["timestamp"])
        made_us = made * 1_000 if len(params["timestamp"]) <= MILLISECOND_DIGITS else made
        now_us = self.clock.now_ns() * 1_000 // NS_PER_MS
        if made_us >= now_us + AHEAD_MS * 1_000:
            raise ApiError(*AHEAD_OF_SERVER)
        if now_us - made_us > window_ms * 1_000:
            raise ApiError(*OUTSIDE_WINDOW)


def websocket_payload(params: dict[str, str]) -> bytes:
    """Make what a websocket request's signature is over."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()


def rest_payload(query: str, body: str) -> bytes:
    """Make what a REST request's signature is over: query and body as sent, one behind the other, without it."""
    parts = [re.sub(r"(?:^|&)signature=[^&]*", "", part) for part in (query, body)]
    return "".join(part.lstrip("&") for part in parts).encode()
