"""Ethernet, IPv4, UDP and TCP headers: declared once, for parsing and for building."""

from nic.compile import compiled
from nic.ring import Frame
from nic.struct import Struct, i64, u8, u16, u32


class Packet(Struct):
    """The transport payload of one frame, where it came from and when."""

    payload_address: i64
    payload_length: i64
    time_ns: i64  # receive time of the frame
    protocol: i64  # PROTOCOL_UDP or PROTOCOL_TCP
    source_ip: i64  # IPv4 address as a number, first octet highest
    destination_ip: i64
    source_port: i64
    destination_port: i64
    tcp_sequence: i64
    tcp_acknowledgement: i64
    tcp_flags: i64
