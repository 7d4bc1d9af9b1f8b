"""bpf(2): maps, XDP programs and their attachment to an interface, without libbpf.

The attribute layouts are those of linux/bpf.h (`union bpf_attr`); the kernel takes what is missing at the end as zero.
"""

import ctypes
import errno
import os
import platform
import struct
import time

from crosswire.nic.host.process import HostError, libc

_SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}  # __NR_bpf

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _PROG_LOAD, _PROG_TEST_RUN, _LINK_CREATE = 0, 1, 2, 5, 10, 28
MAP_ARRAY = 2
MAP_XSK = 17
_PROGRAM_XDP = 6
_ATTACH_XDP = 37

XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX = range(4)
XDP_FLAGS_GENERIC = 2  # XDP_FLAGS_SKB_MODE
XDP_FLAGS_NATIVE = 4  # XDP_FLAGS_DRV_MODE

_LICENSE = b"Apache-2.0"  # none of the helpers used is reserved to GPL programs
_LOG_BYTES = 1 << 18
_TEST_OUTPUT_BYTES = 4096
_ATTACH_PATIENCE_S = 0.5  # a link that a dying process held is released within milliseconds


def bpf(command: int, attribute: bytes) -> int:
    """Make the system call; return its result, or -errno."""
    number = _SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise HostError(f"bpf: no system call number known for {platform.machine()}; use a kernel socket ring")
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    result: int = libc.syscall(number, command, buffer, len(attribute))
    return -ctypes.get_errno() if result == -1 else result


def _done(result: int, what: str) -> int:
    if result >= 0:
        return result
    advice = "; needs CAP_BPF and CAP_NET_ADMIN" if result in (-errno.EPERM, -errno.EACCES) else ""
    raise HostError(f"{what}: {os.strerror(-result)}{advice}")


def create_map(kind: int, value_bytes: int, entries: int) -> int:
    """Create a map whose keys are u32 indices; its descriptor. HostError if refused."""
    return _done(bpf(_MAP_CREATE, struct.pack("<IIIII", kind, 4, value_bytes, entries, 0)), "bpf: create a map")


def update_map(descriptor: int, key: int, value: bytes) -> None:
    """Store the value of one key; HostError if refused."""
    keys = ctypes.create_string_buffer(struct.pack("<I", key), 4)
    values = ctypes.create_string_buffer(value, len(value))
    attribute = struct.pack("<IIQQQ", descriptor, 0, ctypes.addressof(keys), ctypes.addressof(values), 0)
    _done(bpf(_MAP_UPDATE, attribute), f"bpf: update key {key} of a map")


def lookup_map(descriptor: int, key: int, value_bytes: int) -> bytes:
    """Look up the value of one key; HostError if there is none."""
    keys = ctypes.create_string_buffer(struct.pack("<I", key), 4)
    values = ctypes.create_string_buffer(value_bytes)
    attribute = struct.pack("<IIQQQ", descriptor, 0, ctypes.addressof(keys), ctypes.addressof(values), 0)
    _done(bpf(_MAP_LOOKUP, attribute), f"bpf: look up key {key} of a map")
    return values.raw


def load_xdp(instructions: bytes) -> int:
    """Load an XDP program; its descriptor. HostError with the verifier's last words if it is refused."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(_LICENSE)
    log = ctypes.create_string_buffer(_LOG_BYTES)

    def load(log_level: int) -> int:
        where, size = (ctypes.addressof(log), _LOG_BYTES) if log_level else (0, 0)
        head = struct.pack(
            "<IIQQIIQII", _PROGRAM_XDP, len(instructions) // 8, ctypes.addressof(code),
            ctypes.addressof(license_text), log_level, size, where, 0, 0,
        )  # fmt: skip
        return bpf(_PROG_LOAD, head + bytes(16) + struct.pack("<II", 0, _ATTACH_XDP))

    result = load(0)
    if result < 0 and result != -errno.EPERM:
        load(1)  # only now: a log slows the verifier down
        lines = [line for line in log.value.decode(errors="replace").splitlines() if line]
        words = " | ".join(lines[-4:-1] or lines)
        raise HostError(f"bpf: load an XDP program: {os.strerror(-result)}: {words or 'no log'}")
    return _done(result, "bpf: load an XDP program")


def run_xdp(program: int, packet: bytes, repeat: int = 1) -> tuple[int, int]:
    """Run a program over `packet` (14 bytes or more) off the wire: its action, and ns a run."""
    data = ctypes.create_string_buffer(packet, len(packet))
    output = ctypes.create_string_buffer(_TEST_OUTPUT_BYTES)
    attribute = struct.pack(
        "<IIIIQQII", program, 0, len(packet), _TEST_OUTPUT_BYTES,
        ctypes.addressof(data), ctypes.addressof(output), repeat, 0,
    )  # fmt: skip
    buffer = ctypes.create_string_buffer(attribute + bytes(32), len(attribute) + 32)
    number = _SYSTEM_CALL[platform.machine()]
    result: int = libc.syscall(number, _PROG_TEST_RUN, buffer, len(buffer))
    _done(-ctypes.get_errno() if result == -1 else result, "bpf: test run")
    return struct.unpack_from("<I", buffer.raw, 4)[0], struct.unpack_from("<I", buffer.raw, 36)[0]


def attach_xdp(program: int, interface_index: int, flags: int, where: str) -> int:
    """Attach a program for as long as somebody holds the link, and no longer; the link's descriptor.

    HostError, beginning with `where`, if the driver refuses or another program is there.
    """
    attribute = struct.pack("<IIII", program, interface_index, _ATTACH_XDP, flags) + bytes(32)
    give_up = time.monotonic() + _ATTACH_PATIENCE_S
    while (result := bpf(_LINK_CREATE, attribute)) == -errno.EBUSY and time.monotonic() < give_up:
        time.sleep(0.001)
    if result in (-errno.EBUSY, -errno.EEXIST):
        raise HostError(f"{where}: another XDP program is attached; see `ip -d link`, `ip link set ... xdp off`")
    if result == -errno.ERANGE:
        raise HostError(f"{where}: the MTU is too large for native XDP; lower it to 1500")
    return _done(result, where)
