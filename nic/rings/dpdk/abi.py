"""DPDK's binary interface as far as a port needs it: libraries, struct layouts, the calls of the fast path.

DPDK's receive and transmit functions are inlines of its C headers. Here their work is done by hand: a port's functions
and queues are read from the exported table `rte_eth_fp_ops` and called by address, as fast as C does it (measured). The
libraries' soname is the key to the layouts, since it changes whenever they may; an unknown one is refused.
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llvmlite import ir

from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import Struct, u16, u32, u64
from crosswire.nic.unit.compile import lowers

HEADROOM_BYTES = 128  # RTE_PKTMBUF_HEADROOM of every distribution's build
_LIBRARY_FOLDERS = (Path("/usr/lib"), Path("/usr/local/lib"))
_PORT_TABLE_BYTES = 128  # of `rte_eth_fp_ops` a port
_PORTS_MAX = 32  # RTE_MAX_ETHPORTS of every distribution's build
_CONFIGURATION_BYTES = 8192  # struct rte_eth_conf, 2,272 to 3,080 bytes so far
_STATISTICS_WORDS = 1024  # struct rte_eth_stats, 704 bytes and less


class PacketBuffer(Struct):
    """struct rte_mbuf, the same in DPDK 20.11 to 25.11."""

    buffer: u64
    physical: u64
    data_offset: u16
    references: u16
    segments: u16
    port: u16
    flags: u64
    packet_type: u32
    packet_length: u32
    data_length: u16
    vlan_tag: u16
    hash_low: u32
    hash_high: u32
    vlan_tag_outer: u16
    buffer_length: u16
    pool: u64
    next: u64
    transmit_offload: u64
    shared: u64
    private_and_dynamic_0: u64
    dynamic_1: u64
    dynamic_2: u64
    dynamic_3: u64
    dynamic_4: u64


REFERENCES_WORD = PacketBuffer.fields["data_offset"].offset  # 32 aligned bits; `references` are the upper 16


@dataclass(frozen=True)
class TableLayout:
    """Offsets in struct rte_eth_fp_ops: functions, and arrays of the queues' states."""

    receive: int
    receive_queues: int
    transmit: int
    transmit_queues: int


_BEFORE_23_11 = TableLayout(receive=0, receive_queues=24, transmit=64, transmit_queues=88)
_SINCE_23_11 = TableLayout(receive=16, receive_queues=0, transmit=80, transmit_queues=64)
# By soname. Run: 23, 25, 26. 22 and 24 are read from DPDK's headers.
LAYOUTS: Mapping[int, TableLayout] = {
    22: _BEFORE_23_11,
    23: _BEFORE_23_11,
    24: _SINCE_23_11,
    25: _SINCE_23_11,
    26: _SINCE_23_11,
}

_INT, _SIZE, _TEXT, _POINTER, _U16 = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint16
# Exported functions that are used: library, result, arguments.
_FUNCTIONS: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "rte_version": ("eal", _TEXT, ()),
    "rte_eal_init": ("eal", _INT, (_INT, _POINTER)),
    "rte_openlog_stream": ("eal", _INT, (_POINTER,)),
    "rte_thread_register": ("eal", _INT, ()),
    "rte_thread_unregister": ("eal", None, ()),
    "rte_eal_hotplug_add": ("eal", _INT, (_TEXT, _TEXT, _TEXT)),
    "rte_eal_hotplug_remove": ("eal", _INT, (_TEXT, _TEXT)),
    "rte_mempool_free": ("mempool", None, (_POINTER,)),
    "rte_pktmbuf_pool_create": ("mbuf", _POINTER, (_TEXT, _SIZE, _SIZE, _U16, _U16, _INT)),
    "rte_pktmbuf_copy": ("mbuf", _POINTER, (_POINTER, _POINTER, ctypes.c_uint32, ctypes.c_uint32)),
    "rte_pktmbuf_free_bulk": ("mbuf", None, (_POINTER, _SIZE)),
    "rte_eth_dev_get_port_by_name": ("ethdev", _INT, (_TEXT, _POINTER)),
    "rte_eth_dev_configure": ("ethdev", _INT, (_U16, _U16, _U16, _POINTER)),
    "rte_eth_dev_adjust_nb_rx_tx_desc": ("ethdev", _INT, (_U16, _POINTER, _POINTER)),
    "rte_eth_rx_queue_setup": ("ethdev", _INT, (_U16, _U16, _U16, _SIZE, _POINTER, _POINTER)),
    "rte_eth_tx_queue_setup": ("ethdev", _INT, (_U16, _U16, _U16, _SIZE, _POINTER)),
    "rte_eth_dev_start": ("ethdev", _INT, (_U16,)),
    "rte_eth_dev_stop": ("ethdev", _INT, (_U16,)),
    "rte_eth_dev_close": ("ethdev", _INT, (_U16,)),
    "rte_eth_allmulticast_enable": ("ethdev", _INT, (_U16,)),
    "rte_eth_promiscuous_enable": ("ethdev", _INT, (_U16,)),
    "rte_eth_promiscuous_disable": ("ethdev", _INT, (_U16,)),
    "rte_eth_macaddr_get": ("ethdev", _INT, (_U16, _POINTER)),
    "rte_eth_dev_get_mtu": ("ethdev", _INT, (_U16, _POINTER)),
    "rte_eth_stats_get": ("ethdev", _INT, (_U16, _POINTER)),
}
_STATISTICS = ("ipackets", "opackets", "ibytes", "obytes", "imissed", "ierrors", "oerrors", "rx_nombuf")


def packages(abi: int, *drivers: str) -> str:
    """Debian's packages of one DPDK version, with those of `drivers`."""
    names = ("eal", "ethdev", "mempool-ring", "bus-vdev", *drivers)
    return " ".join(f"librte-{name}{abi}" for name in names)


class Libraries:
    """DPDK's libraries, loaded; `functions` by name. HostError if there are none, or none whose layout is known."""

    def __init__(self, layouts: Mapping[int, TableLayout] = LAYOUTS) -> None:
        for abi in sorted(layouts, reverse=True):
            try:
                # All or nothing: two versions must never be mixed in one process.
                loaded = {name: _load(name, abi) for name in ("eal", "mempool", "mbuf", "ethdev")}
            except OSError:
                continue
            self.abi = abi
            self.layout = layouts[abi]
            self.loaded = loaded
            break
        else:
            raise HostError(_nothing_to_load(layouts))
        self.functions: dict[str, Callable[..., Any]] = {}
        for name, (library, returns, arguments) in _FUNCTIONS.items():
            function = getattr(self.loaded[library], name)
            function.restype, function.argtypes = returns, arguments
            self.functions[name] = function
        self.version: str = self.call("rte_version").decode()
        self.port_table = ctypes.addressof(ctypes.c_char.in_dll(self.loaded["ethdev"], "rte_eth_fp_ops"))

    def call(self, name: str, *arguments: Any) -> Any:
        """Call an exported function."""
        return self.functions[name](*arguments)

    def address(self, name: str) -> int:
        """The address of an exported function."""
        return ctypes.cast(self.functions[name], ctypes.c_void_p).value or 0  # type: ignore[arg-type]

    def errno(self) -> str:
        """The text of `rte_errno`, a variable of the calling thread."""
        return os.strerror(ctypes.c_int.in_dll(self.loaded["eal"], "per_lcore__rte_errno").value)

    def words(self, port: int) -> tuple[int, int, int, int]:
        """Addresses of the table's words: receive function, its queues, transmit function, its queues."""
        base, layout = self.port_table + port * _PORT_TABLE_BYTES, self.layout
        if not 0 <= port < _PORTS_MAX:
            raise HostError(f"DPDK port {port}: its table has {_PORTS_MAX}")
        offsets = (layout.receive, layout.receive_queues, layout.transmit, layout.transmit_queues)
        return tuple(base + offset for offset in offsets)  # type: ignore[return-value]

    def configuration(self) -> ctypes.Array[ctypes.c_char]:
        """Make a struct rte_eth_conf that asks for nothing: all zero."""
        return ctypes.create_string_buffer(_CONFIGURATION_BYTES)

    def statistics(self, port: int) -> dict[str, int]:
        """The words of struct rte_eth_stats that every version has."""
        words = (ctypes.c_uint64 * _STATISTICS_WORDS)()
        self.call("rte_eth_stats_get", port, words)
        return dict(zip(_STATISTICS, words, strict=False))


def _load(name: str, abi: int) -> ctypes.CDLL:
    # Drivers are loaded by the EAL later and must find these symbols.
    return ctypes.CDLL(f"librte_{name}.so.{abi}", mode=os.RTLD_NOW | os.RTLD_GLOBAL)


def _nothing_to_load(layouts: Mapping[int, TableLayout]) -> str:
    found = sorted({path.name for folder in _LIBRARY_FOLDERS for path in folder.glob("**/librte_ethdev.so.*")})
    if found:
        return f"DPDK: {', '.join(found)} found; known are .so.{min(layouts)} to .so.{max(layouts)}, with librte_eal"
    return f"DPDK's libraries are not installed; on Debian 12: apt-get install {packages(23, 'net-af-packet')}"


def check_table(libraries: Libraries, port: int) -> None:
    """Raise HostError unless what is taken for functions is code and what is taken for queues is not.

    A wrong offset would be a jump into data.
    """
    code = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "x" in line.split()[1]
    ]
    receive, receive_queues, transmit, transmit_queues = (
        ctypes.c_uint64.from_address(word).value for word in libraries.words(port)
    )
    is_code = [any(first <= address < last for first, last in code) for address in (receive, transmit)]
    is_data = [
        address != 0 and not any(first <= address < last for first, last in code)
        for address in (receive_queues, transmit_queues)
    ]
    if not all(is_code + is_data):
        raise HostError(f"{libraries.version}: rte_eth_fp_ops is not laid out as .so.{libraries.abi} has it; refused")


_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_BURST = ctypes.CFUNCTYPE(ctypes.c_uint16, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16)
_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint)


def call_burst(function: int, queue: int, packets: int, count: int) -> int:
    """Call a port's receive or transmit function: how many of the `count` packets, at most 65,535, it gave or took."""
    return _BURST(function)(queue, packets, count)


@lowers(call_burst, "i64", "i64", "i64", "i64", returns="i64")
def _call_burst(_context: Any, builder: Any, function: Any, queue: Any, packets: Any, count: Any) -> Any:
    # The count as 32 zero-extended bits, as gcc's and clang's callees may expect; of the result only 16 are defined.
    signature = ir.FunctionType(_I16, [_I64, _I64, _I32])
    target = builder.inttoptr(function, signature.as_pointer())
    count = builder.zext(builder.trunc(count, _I16), _I32)
    return builder.zext(builder.call(target, [queue, packets, count]), _I64)


def call_free(function: int, packets: int, count: int) -> None:
    """Call `rte_pktmbuf_free_bulk`."""
    _FREE(function)(packets, count)


@lowers(call_free, "i64", "i64", "i64", returns="none")
def _call_free(_context: Any, builder: Any, function: Any, packets: Any, count: Any) -> None:
    signature = ir.FunctionType(ir.VoidType(), [_I64, _I32])
    target = builder.inttoptr(function, signature.as_pointer())
    builder.call(target, [packets, builder.trunc(count, _I32)])
