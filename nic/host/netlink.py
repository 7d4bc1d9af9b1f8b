"""Questions to the kernel's tables of links, routes and neighbours, and entries put there: rtnetlink(7)."""

import os
import socket
import struct

PATIENCE_S = 3.0
DUMP, ACK, REPLACE, CREATE = 0x300, 0x4, 0x100, 0x400  # NLM_F_*
_NLM_F_REQUEST = 0x1
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER_BYTES = 16  # struct nlmsghdr
_REPLY_BYTES = 1 << 16


def ask_netlink(kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send a request and return the messages that answer it, without their headers; OSError as the kernel says.

    Works in the network namespace of the calling thread.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.settimeout(PATIENCE_S)
        link.send(struct.pack("<IHHII", _HEADER_BYTES + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
        messages: list[bytes] = []
        while True:
            data = link.recv(_REPLY_BYTES)
            while len(data) >= _HEADER_BYTES:
                length, reply = struct.unpack_from("<IH", data)
                content, data = data[_HEADER_BYTES:length], data[(length + 3) & ~3 :]
                if reply == _NLMSG_DONE:
                    return messages
                if reply == _NLMSG_ERROR:
                    number = -struct.unpack_from("<i", content)[0]
                    if number == 0:  # what was asked for with ACK
                        return messages
                    raise OSError(number, os.strerror(number))
                messages.append(content)
                if not flags & DUMP:
                    return messages


def attributes(content: bytes) -> dict[int, bytes]:
    """Map type to value of a run of attributes: what is behind a message's fixed fields, or within an attribute."""
    found: dict[int, bytes] = {}
    while len(content) >= 4:
        length, kind = struct.unpack_from("<HH", content)
        if length < 4:
            break
        found[kind & 0x3FFF] = content[4:length]  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
        content = content[(length + 3) & ~3 :]
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """Make one attribute."""
    return struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
