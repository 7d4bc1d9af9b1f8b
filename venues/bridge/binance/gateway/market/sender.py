"""Sends the packets of the feed over UDP. What can't be sent is counted: readers see a gap, and lose their books."""

import socket
from ipaddress import IPv4Address
from struct import Struct as Packed

from crosswire.nic.capture.format import RecordHeader
from crosswire.nic.memory.struct import size_of
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.venues.bridge.binance.gateway.config import FeedConfig, parse_address
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.errors import VenueError

CAPTURED_LENGTH = Packed("<I")
LENGTH_AT = RecordHeader.fields["captured_length"].offset
RECORD_BYTES = size_of(RecordHeader)
SEND_BUFFER_BYTES = 4 << 20  # asked for: a burst of several whole books; the kernel's own limit may be lower


class Sender:
    """One UDP socket, which never waits."""

    def __init__(self, config: FeedConfig, log: Log) -> None:
        """VenueError: the source is no address of this host, or nothing leads to the destination."""
        self.log = log
        self.packets = 0
        destination = parse_address(config.address, "feed.address")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if IPv4Address(destination[0]).is_multicast:
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, config.hops)
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(config.source))
            self.socket.bind((config.source, 0))
            self.socket.connect(destination)
        except OSError as error:
            self.socket.close()
            raise VenueError(
                f"feed: can't send from {config.source} to {config.address}: {error.strerror or error}"
            ) from None
        self.send = self.socket.send

    def send_records(self, records: memoryview) -> bool:
        """Send each of the pcap records as a datagram; False: some could not be."""
        position, end = 0, len(records)
        whole = True
        while position < end:
            after = position + RECORD_BYTES + CAPTURED_LENGTH.unpack_from(records, position + LENGTH_AT)[0]
            try:
                self.send(records[position + RECORD_BYTES + UDP_FRAME_HEADER_BYTES : after])
            except OSError as error:
                whole = False
                self.log.count(f"packets not sent ({error.strerror})")
            self.packets += 1
            position = after
        return whole

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
