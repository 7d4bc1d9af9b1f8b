"""Signatures of the Binance order interfaces: the venue's own examples, and that no text shows a secret."""

import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crosswire.venues.bridge.binance.gateway.orders.signing import Signer
from crosswire.venues.credentials import Credentials, load_credentials
from crosswire.venues.errors import VenueError

pytestmark = pytest.mark.binance

# The keys of the examples in binance-spot-api-docs, rest-api.md and web-socket-api.md, "SIGNED request example (HMAC)".
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_hmac_of_the_venues_rest_example() -> None:
    query = Signer(Credentials(API_KEY, SECRET)).sign_query(
        {
            "symbol": "LTCBTC",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "1",
            "price": "0.1",
            "recvWindow": 5000,
            "timestamp": 1499827319559,
        }
    )
    assert query.endswith("&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71")


def test_hmac_of_the_venues_websocket_example() -> None:
    params = Signer(Credentials(API_KEY, SECRET)).sign_params(
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01000000",
            "price": "52000.00",
            "newOrderRespType": "ACK",
            "recvWindow": 100,
            "timestamp": 1645423376532,
        }
    )
    assert params["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def test_ed25519_signs_the_parameters_in_order_of_name() -> None:
    key = Ed25519PrivateKey.generate()
    signer = Signer(Credentials(API_KEY, pem(key)))
    params = signer.sign_params({"timestamp": 5, "recvWindow": 2})
    payload = f"apiKey={API_KEY}&recvWindow=2&timestamp=5"
    key.public_key().verify(base64.b64decode(params["signature"]), payload.encode())
    with pytest.raises(InvalidSignature):
        key.public_key().verify(base64.b64decode(params["signature"]), payload.replace("5", "6").encode())
    assert signer.can_log_on
    assert not Signer(Credentials(API_KEY, SECRET)).can_log_on


def test_no_text_shows_a_secret() -> None:
    key = Ed25519PrivateKey.generate()
    for secret in (SECRET, pem(key)):
        credentials = Credentials(API_KEY, secret)
        shown = repr(credentials) + repr(Signer(credentials)) + str(vars(Signer(credentials)).keys())
        assert secret.decode().splitlines()[0] not in shown
        assert API_KEY not in repr(Signer(credentials))


@pytest.mark.parametrize("secret", [b"-----BEGIN nonsense", pem(Ed25519PrivateKey.from_private_bytes(bytes(32)))[:60]])
def test_a_key_that_can_not_be_read_is_one_line_without_it(secret: bytes) -> None:
    with pytest.raises(VenueError) as raised:
        Signer(Credentials(API_KEY, secret))
    assert "\n" not in str(raised.value)
    assert secret.decode() not in str(raised.value)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.toml"
    path.write_text(f'client_id = "{API_KEY}"\nsecret = "{SECRET.decode()}"\n')
    path.chmod(0o644)
    with pytest.raises(VenueError, match="chmod 600"):
        load_credentials(path)
    path.chmod(0o600)
    assert Signer(load_credentials(path)).api_key == API_KEY
