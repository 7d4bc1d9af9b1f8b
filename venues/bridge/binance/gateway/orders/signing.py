"""Signatures of requests, by a key from a file that only its owner can read.

The API of spot and of USD-M take the same two kinds (binance-spot-api-docs, web-socket-api.md, "Request security"):
HMAC-SHA-256 in hexadecimal digits, and Ed25519 in base64. What is signed is the parameters as `name=value`, joined by
`&`: sorted by name on a websocket, as they stand in the query over REST. Only an Ed25519 key can log a websocket on,
after which its requests need no signature.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crosswire.venues.credentials import Credentials
from crosswire.venues.errors import VenueError

PEM_BEGINS = b"-----BEGIN"


class Signer:
    """One API key. `secret` is the text of an HMAC secret, or a PKCS#8 PEM of an Ed25519 key; no text shows it."""

    def __init__(self, credentials: Credentials) -> None:
        self.api_key = credentials.client_id
        self._secret = credentials.secret
        self._private: Ed25519PrivateKey | None = None
        if credentials.secret.startswith(PEM_BEGINS):
            self._private = _load(credentials.secret)

    def __repr__(self) -> str:
        return f"Signer({'Ed25519' if self.can_log_on else 'HMAC-SHA-256'})"

    @property
    def can_log_on(self) -> bool:
        """Whether a websocket can be logged on with this key."""
        return self._private is not None

    def sign(self, payload: str) -> str:
        """Sign a text that is ready to be sent."""
        if self._private is not None:
            return base64.b64encode(self._private.sign(payload.encode())).decode()
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()

    def sign_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a websocket request's parameters: the key, and the signature over all of them in order of name."""
        complete = {**params, "apiKey": self.api_key}
        payload = "&".join(f"{name}={_text(complete[name])}" for name in sorted(complete))
        return {**complete, "signature": self.sign(payload)}

    def sign_query(self, params: Mapping[str, Any]) -> str:
        """Make the query of a REST request, its signature last."""
        query = urlencode({name: _text(value) for name, value in params.items()})
        return f"{query}&{urlencode({'signature': self.sign(query)})}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _load(secret: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(secret, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise VenueError("the secret begins as a PEM key, but can't be read as one without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise VenueError("the secret is a PEM key of another kind than Ed25519")
    return key
