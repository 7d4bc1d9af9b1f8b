"""Where a REST interface is: "https://host:port", or "http://" on the host itself, where only a simulated one is."""

from ipaddress import IPv4Address
from typing import NamedTuple
from urllib.parse import urlsplit

LOOPBACK_NAME = "localhost"
PORTS = {"https": 443, "http": 80}  # where none is written


class RestAddress(NamedTuple):
    """One interface's host and port."""

    is_encrypted: bool
    host: str
    port: int

    def __str__(self) -> str:
        return f"{'https' if self.is_encrypted else 'http'}://{self.host}:{self.port}"


def parse_address(text: str, key: str) -> RestAddress:
    """Parse an address of the key `key`. ValueError, one line that begins with it: it is none, or not encrypted."""
    if not text.isprintable():  # urlsplit would drop tabs and ends of lines
        raise ValueError(refusal(text, key))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(refusal(text, key)) from None
    host = parts.hostname or ""
    beside = (parts.username, parts.password, parts.path.strip("/"), parts.query, parts.fragment)
    is_name = host.isascii() and host.replace("-", "").replace(".", "").isalnum()
    if parts.scheme not in PORTS or not is_name or port == 0:
        raise ValueError(refusal(text, key))
    if any(beside):
        # A key does not belong into an address, which is told in messages.
        raise ValueError(f"{key}: must be an address alone, without a path, a query or a user: https://host:port")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"{key} = {text}: http is taken on this host's loopback only, as the key would be sent in the clear; "
            f"use https"
        )
    return RestAddress(parts.scheme == "https", host, PORTS[parts.scheme] if port is None else port)


def refusal(text: str, key: str) -> str:
    """Say that this is no address; what it is only if it is one line, and could hold no key."""
    shown = f" = {text}" if text.isprintable() and "@" not in text else ""
    return f"{key}{shown}: must be https://host:port"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one, by its name or its address alone: nothing is asked."""
    try:
        return IPv4Address(host).is_loopback
    except ValueError:
        return host == LOOPBACK_NAME
