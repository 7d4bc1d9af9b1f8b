"""The C program of `tests.bench.order_entry`: compiled, loaded, and given the engine's own terms."""

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosswire.nic.clock import LiveClock
from crosswire.nic.memory.struct import Struct, address_of, array, i64, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from tests.bench.order_entry_bed import FRAME_BYTES, SLOTS, Bed, ring_addresses

SOURCE = Path(__file__).with_name("order_entry.c")
FLAGS = ("-O3", "-march=native", "-Wall", "-Wextra", "-shared", "-fPIC")
FIGURES = (
    "triggers", "fills", "unexplained", "gaps", "rejects", "vetoed", "first_position", "second_position",
    "first_orders", "second_orders",
)  # fmt: skip


class Terms(Struct):
    """`terms_t`: of one instrument and its venue."""

    instrument_id: i64
    tick_e9: i64
    lot_e9: i64
    base_ticks: i64
    sale_factor: i64
    cost_factor: i64
    tick_lot_e9: i64
    order_lots_max: i64
    notional_max_e9: i64
    position_lots_max: i64
    price_ticks_max: i64
    collar_e9: i64
    book_age_max_ns: i64
    strategy_lots_max: i64
    strategy_position_lots: i64
    tokens_per_second: i64
    tokens_full_e9: i64
    open_orders_max: i64
    source_ip: i64
    source_port: i64
    channel_id: i64
    peer_port: i64


def why_not() -> str:
    """Why there can be no C program here; empty: there can."""
    if platform.machine() != "x86_64":
        return f"the C yardstick is written for x86-64 with AVX2, this is {platform.machine()}"
    if " avx2" not in Path("/proc/cpuinfo").read_text():
        return "the C yardstick needs AVX2"
    return "" if shutil.which("gcc") else "the C yardstick needs gcc: apt-get install gcc"


def compile_library(source: Path, target: Path, flags: Sequence[str]) -> Any:
    """Compile one C file into a shared library and load it; `target` must outlive the process's use of it."""
    subprocess.run(["gcc", *flags, "-o", str(target), str(source)], check=True)
    return ctypes.CDLL(str(target))


def load_library(folder: Path, with_stages: bool = False) -> Any:
    """Compile and load it; `folder` must outlive the process's use of it."""
    target = folder / f"order_entry{'_stages' if with_stages else ''}.so"
    return declare(compile_library(SOURCE, target, [*FLAGS, "-DSTAGES"] if with_stages else FLAGS))


def declare(library: Any) -> Any:
    """Say which of its functions return addresses."""
    library.cw_make.restype = ctypes.c_void_p
    library.cw_terms.restype = ctypes.c_void_p
    library.cw_marks.restype = ctypes.c_void_p
    return library


class CEngine:
    """One engine of the C program."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.address: int = library.cw_make()
        self._engine = ctypes.c_void_p(self.address)

    def function(self, name: str) -> int:
        """Address of one of its functions."""
        address = ctypes.cast(getattr(self.library, name), ctypes.c_void_p).value
        assert address is not None
        return address

    def set_terms(self, venue: int, terms: Terms) -> None:
        there = self.library.cw_terms(self._engine, venue)
        ctypes.memmove(there, terms.address, Terms.size)

    def set_ring(self, venue: int, bed: Bed) -> None:
        addresses = (ctypes.c_uint64 * 13)(*ring_addresses(bed))
        self.library.cw_set_ring(self._engine, venue, addresses, ctypes.c_int64(SLOTS), ctypes.c_int64(FRAME_BYTES))

    def set_session(self, venue: int, order_frame: bytes, send_next: int, receive_next: int) -> None:
        """`order_frame`: any order's, with the connection's addresses."""
        self.library.cw_set_session(
            self._engine,
            venue,
            order_frame,
            ctypes.c_uint32(send_next),
            ctypes.c_uint32(receive_next),
            ctypes.c_int64(0),
            ctypes.c_int64(0),
        )

    def start(self, clock: LiveClock, mantissa_e9: int, gross_max_e9: int, net_max_e9: int, leg: int) -> None:
        calibration = clock.calibrations[clock.current]
        numbers = (
            calibration.cycles, calibration.time_ns, calibration.rate, mantissa_e9, gross_max_e9, net_max_e9, leg,
        )  # fmt: skip
        self.library.cw_start(self._engine, *(ctypes.c_int64(number) for number in numbers))

    def marks_at(self) -> tuple[int, int]:
        """Addresses of the start's stamp and of the stages'."""
        address: int = self.library.cw_marks(self._engine)
        return address - 16, address

    def figures(self) -> dict[str, int]:
        values = (ctypes.c_int64 * len(FIGURES))()
        self.library.cw_figures(self._engine, values)
        return dict(zip(FIGURES, values, strict=True))

    def close(self) -> None:
        if self.address:
            self.library.cw_free(self._engine)
            self.address = 0


def order_frame(flow: Flow, message: bytes) -> bytes:
    """A TCP frame with `message`, checksums and numbers left 0."""
    frame = array(u8, TCP_FRAME_HEADER_BYTES + len(message))
    address = address_of(frame)
    write_tcp_frame_header(address, flow, 0xFFFF)
    ctypes.memmove(address + TCP_FRAME_HEADER_BYTES, message, len(message))
    seal_tcp_frame(address, len(message), 0, 0, FLAG_ACK | FLAG_PSH)
    return bytes(frame)
