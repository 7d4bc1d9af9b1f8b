"""What everything on AF_PACKET sockets needs: a filter in classic BPF, and the kernel's count of what it lost."""

import ctypes
import socket
import struct

SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_ATTACH_FILTER = 26
# Classic BPF (linux/filter.h): an accumulator A and an index X; a jump skips as many instructions as it says.
LOAD_WORD, LOAD_HALF, LOAD_BYTE, LOAD_HALF_INDEXED = 0x20, 0x28, 0x30, 0x48
LOAD_IP_HEADER_LENGTH = 0xB1  # X = 4 * (byte & 15)
JUMP, JUMP_EQUAL, JUMP_BITS_SET, RETURN = 0x05, 0x15, 0x45, 0x06
INSTRUCTION_BYTES = 8
WHOLE_FRAME = 0xFFFF_FFFF


def instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one instruction of classic BPF."""
    return struct.pack("<HBBI", code, if_true, if_false, operand)


REJECT_ALL = instruction(RETURN, 0)


def attach_filter(filtered: socket.socket, program: bytes) -> None:
    """Attach a filter (SO_ATTACH_FILTER) to any kind of socket; OSError if the kernel's checker refuses it."""
    code = ctypes.create_string_buffer(program, len(program))
    request = struct.pack("<H6xQ", len(program) // INSTRUCTION_BYTES, ctypes.addressof(code))  # struct sock_fprog
    filtered.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)


def take_statistics(packets: socket.socket) -> tuple[int, int]:
    """Return the frames that passed the filter and those of them lost, since the last call (struct tpacket_stats)."""
    frames, drops = struct.unpack("<II", packets.getsockopt(SOL_PACKET, _PACKET_STATISTICS, 8))
    return frames, drops
