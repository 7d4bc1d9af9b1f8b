"""The XDP program before an AF_XDP socket: which frames go to the engine, which to the kernel, which are dropped.

It is built as LLVM IR from `SteerRules`, compiled by the BPF target that llvmlite carries, and loaded by bpf(2).
Everything that no rule names (ARP, SSH, fragments, IP options) goes to the kernel as if nobody were there.
"""

import io
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from elftools.elf.elffile import ELFFile
from llvmlite import binding, ir

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHER_TYPE_QINQ,
    ETHER_TYPE_QINQ_OLD,
    ETHER_TYPE_VLAN,
    ETHERNET_HEADER_BYTES,
    IP_FRAGMENT_OFFSET,
    IP_MORE_FRAGMENTS,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    UDP_HEADER_BYTES,
    VLAN_TAG_BYTES,
    VLAN_TAGS_MAX,
    EthernetHeader,
    Ipv4Header,
    TcpHeader,
    UdpHeader,
    VlanTag,
)
from crosswire.nic.rings.xdp.bpf import (
    MAP_ARRAY,
    MAP_XSK,
    XDP_DROP,
    XDP_PASS,
    attach_xdp,
    create_map,
    load_xdp,
    lookup_map,
    update_map,
)

GROUPS_MAX = 256  # UDP rules: destinations, each once for every source that is named
SESSIONS_MAX = 64  # TCP connections: compared one after another
KEEP_RULES_MAX = 16
KEEP_VALUES_MAX = 1024  # of one rule
PAYLOAD_OFFSET_MAX = 1400
QUEUES_MAX = 64  # of one interface

_SECTION = "xdp"
_REDIRECT_MAP = 51  # BPF_FUNC_redirect_map
_PSEUDO_MAP_DESCRIPTOR = 1  # BPF_PSEUDO_MAP_FD: an instruction's constant is a map
_PSEUDO_MAP_VALUE = 2  # BPF_PSEUDO_MAP_VALUE: the address of the value at index 0 of an array
_LOAD_CONSTANT = 0x18  # BPF_LD | BPF_IMM | BPF_DW, two instruction slots
_WIDTHS = (1, 2, 4, 8)

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))

UdpRule = tuple[int, int] | tuple[int, int, int]  # (ip, port) from any source, or (ip, port, source_ip); 0: any


class TcpTuple(NamedTuple):
    """A TCP connection as its local end sees it. IPs are numbers, first octet highest."""

    local_ip: int
    local_port: int
    remote_ip: int
    remote_port: int


@dataclass(frozen=True)
class KeepRule:
    """What of a UDP payload is wanted: `width` bytes at `payload_offset` are one of `accepted`.

    `groups` are the (ip, port) that it speaks of; none: all. Meant for feeds with one message a datagram, whose decoder
    does not take what was dropped for a gap.
    """

    payload_offset: int
    width: int
    byte_order: Literal["little", "big"]
    accepted: tuple[int, ...]
    groups: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class SteerRules:
    """The frames that go to the engine.

    `udp`: destination (ip, port), unicast or multicast; with sources named, only theirs, and others' go to the kernel.
    `tcp`: connections. `keep`: a datagram of a group that rules speak of is dropped and counted when none of them
    accepts it. One too short for a rule's field is kept.
    """

    udp: tuple[UdpRule, ...] = ()
    tcp: tuple[TcpTuple, ...] = ()
    keep: tuple[KeepRule, ...] = ()


def sources_by_group(udp: tuple[UdpRule, ...]) -> dict[tuple[int, int], frozenset[int]]:
    """The sources that each (ip, port) is taken from; none: from any, which one rule without a source is enough for."""
    named: dict[tuple[int, int], set[int]] = {}
    for rule in udp:
        named.setdefault(rule[:2], set()).add(rule[2] if len(rule) == 3 else 0)
    return {group: frozenset() if 0 in sources else frozenset(sources) for group, sources in named.items()}


def check_rules(rules: SteerRules) -> None:
    """Raise HostError if the rules are too many or out of range."""
    for name, given, most in (
        ("UDP rules", len(rules.udp), GROUPS_MAX),
        ("TCP sessions", len(rules.tcp), SESSIONS_MAX),
        ("keep rules", len(rules.keep), KEEP_RULES_MAX),
    ):
        if given > most:
            raise HostError(f"XDP rules: {given} {name}, at most {most}")
    groups = sources_by_group(rules.udp)
    sources = [(source, 0) for named in groups.values() for source in named]
    ends = [*groups, *sources, *(each[:2] for each in rules.tcp), *(each[2:] for each in rules.tcp)]
    for ip, port in ends:
        if not (0 <= ip < 1 << 32 and 0 <= port < 1 << 16):
            raise HostError(f"XDP rules: {ip:#x} port {port} is no IPv4 address and port")
    for rule in rules.keep:
        if rule.width not in _WIDTHS or not 0 <= rule.payload_offset <= PAYLOAD_OFFSET_MAX:
            raise HostError(f"XDP rules: a field of {rule.width} bytes at {rule.payload_offset}")
        if len(rule.accepted) > KEEP_VALUES_MAX:
            raise HostError(f"XDP rules: {len(rule.accepted)} accepted values, at most {KEEP_VALUES_MAX}")
        if not all(-(1 << 8 * rule.width - 1) <= value < 1 << 8 * rule.width for value in rule.accepted):
            raise HostError(f"XDP rules: an accepted value does not fit {rule.width} bytes")
        if not set(rule.groups) <= set(groups):
            raise HostError("XDP rules: a keep rule names a group that is not steered")


def _as_loaded(value: int, width: int) -> int:
    """What a little-endian load gives where `value` lies in network byte order."""
    return int.from_bytes(value.to_bytes(width, "big"), "little")


class _Writer:
    """Emits the program. A frame's fields are at constant distances from two positions: its start, and the IP header.

    BPF runs on this machine, so loads are little-endian: constants are swapped, not fields.
    """

    def __init__(self, rules: SteerRules, fallback: int) -> None:
        self.rules = rules
        self.fallback = fallback
        self.module = ir.Module("steer")
        self.module.triple = "bpfel"
        context = ir.LiteralStructType([_I32] * 6)  # struct xdp_md
        self.function = ir.Function(self.module, ir.FunctionType(_I32, [context.as_pointer()]), "steer")
        self.function.section = _SECTION
        self.sockets = ir.GlobalVariable(self.module, _I64, "sockets")
        self.filtered = ir.GlobalVariable(self.module, _I64, "filtered")
        for variable in (self.sockets, self.filtered):
            variable.linkage = "external"
        self.builder = ir.IRBuilder(self.block("entry"))
        self.passed = self.block("passed")
        self.redirected = self.block("redirected")
        self.dropped = self.block("dropped")
        # The verifier knows these two as the bounds of the packet.
        self.start = self.builder.zext(self.context_field(0), _I64)
        self.end = self.builder.zext(self.context_field(1), _I64)
        self.queue = self.context_field(4)

    def block(self, name: str) -> Any:
        return self.function.append_basic_block(name)

    def context_field(self, index: int) -> Any:
        return self.builder.load(self.builder.gep(self.function.args[0], [_I32(0), _I32(index)]))

    def load(self, position: Any, offset: int, width: int) -> Any:
        # Said to be aligned, or the target would load byte by byte; x86 and arm64 take it, and so their verifiers.
        there = self.builder.add(position, _I64(offset))
        return self.builder.load(self.builder.inttoptr(there, ir.IntType(8 * width).as_pointer()))

    def require(self, condition: Any, otherwise: Any) -> None:
        """Go on where the condition holds."""
        going_on = self.block("")
        self.builder.cbranch(condition, going_on, otherwise)
        self.builder.position_at_end(going_on)

    def require_bytes(self, position: Any, count: int, otherwise: Any) -> None:
        """Go on where `count` bytes from `position` lie in the frame."""
        last = self.builder.add(position, _I64(count))
        self.require(self.builder.icmp_unsigned("<=", last, self.end), otherwise)

    def require_equal(self, value: Any, constant: int) -> None:
        self.require(self.builder.icmp_unsigned("==", value, value.type(constant)), self.passed)

    def write(self) -> str:
        """Write the module's text."""
        ip = self._skip_tags()
        self.builder.position_at_end(ip.parent)
        self.require_bytes(ip, IPV4_HEADER_BYTES, self.passed)
        self.require_equal(self.load(ip, Ipv4Header.fields["version_and_words"].offset, 1), 0x45)
        fragment = self.load(ip, Ipv4Header.fields["fragment"].offset, 2)
        mask = _as_loaded(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET, 2)
        self.require_equal(self.builder.and_(fragment, _I16(mask)), 0)
        protocols: dict[int, Callable[[Any], None]] = {}
        if self.rules.udp:
            protocols[PROTOCOL_UDP] = self._match_udp
        if self.rules.tcp:
            protocols[PROTOCOL_TCP] = self._match_tcp
        switch = self.builder.switch(self.load(ip, Ipv4Header.fields["protocol"].offset, 1), self.passed)
        for protocol, match in protocols.items():
            block = self.block(f"protocol{protocol}")
            switch.add_case(_I8(protocol), block)
            self.builder.position_at_end(block)
            match(ip)
        self._write_ends()
        return str(self.module)

    def _skip_tags(self) -> Any:
        """Find where the IPv4 header begins, behind any tags; the builder is in the block that has it."""
        found = self.block("ipv4")
        position = ir.IRBuilder(found).phi(_I64)
        self.require_bytes(self.start, ETHERNET_HEADER_BYTES, self.passed)
        ether_type = self.load(self.start, EthernetHeader.fields["ether_type"].offset, 2)
        for tags in range(VLAN_TAGS_MAX + 1):
            where = ETHERNET_HEADER_BYTES + tags * VLAN_TAG_BYTES
            position.add_incoming(self.builder.add(self.start, _I64(where)), self.builder.block)
            switch = self.builder.switch(ether_type, self.passed)
            switch.add_case(_I16(_as_loaded(ETHER_TYPE_IPV4, 2)), found)
            if tags == VLAN_TAGS_MAX:
                break
            tagged = self.block("tagged")
            for kind in (ETHER_TYPE_VLAN, ETHER_TYPE_QINQ, ETHER_TYPE_QINQ_OLD):
                switch.add_case(_I16(_as_loaded(kind, 2)), tagged)
            self.builder.position_at_end(tagged)
            self.require_bytes(self.start, where + VLAN_TAG_BYTES, self.passed)
            ether_type = self.load(self.start, where + VlanTag.fields["ether_type"].offset, 2)
        return position

    def _match_udp(self, ip: Any) -> None:
        builder = self.builder
        self.require_bytes(ip, IPV4_HEADER_BYTES + UDP_HEADER_BYTES, self.passed)
        address = self.load(ip, Ipv4Header.fields["destination_ip"].offset, 4)
        port = self.load(ip, IPV4_HEADER_BYTES + UdpHeader.fields["destination_port"].offset, 2)
        # One comparison for both: the port above the address.
        key = builder.or_(builder.shl(builder.zext(port, _I64), _I64(32)), builder.zext(address, _I64))
        switch = builder.switch(key, self.passed)
        filters: dict[tuple[KeepRule, ...], Any] = {(): self.redirected}
        by_source: dict[tuple[frozenset[int], tuple[KeepRule, ...]], Any] = {}
        for group, sources in sources_by_group(self.rules.udp).items():
            rules = tuple(rule for rule in self.rules.keep if not rule.groups or group in rule.groups)
            if rules not in filters:
                filters[rules] = self.block("filter")
            if sources and (sources, rules) not in by_source:
                by_source[sources, rules] = self.block("source")
            group_ip, group_port = group
            found = by_source[sources, rules] if sources else filters[rules]
            switch.add_case(_I64(_as_loaded(group_port, 2) << 32 | _as_loaded(group_ip, 4)), found)
        for (sources, rules), block in by_source.items():
            builder.position_at_end(block)
            switch = builder.switch(self.load(ip, Ipv4Header.fields["source_ip"].offset, 4), self.passed)
            for source in sorted(sources):
                switch.add_case(_I32(_as_loaded(source, 4)), filters[rules])
        for rules, block in filters.items():
            if rules:
                builder.position_at_end(block)
                self._filter(ip, rules)

    def _filter(self, ip: Any, rules: tuple[KeepRule, ...]) -> None:
        builder = self.builder
        header = IPV4_HEADER_BYTES + UDP_HEADER_BYTES
        wire_length = self.load(ip, IPV4_HEADER_BYTES + UdpHeader.fields["length"].offset, 2)
        low, high = builder.shl(wire_length, _I16(8)), builder.lshr(wire_length, _I16(8))
        length = builder.or_(low, high)
        for rule in rules:
            field_end = rule.payload_offset + rule.width
            # The datagram's own length counts too: Ethernet pads short frames, and padding is no field.
            self.require(builder.icmp_unsigned(">=", length, _I16(UDP_HEADER_BYTES + field_end)), self.redirected)
            self.require_bytes(ip, header + field_end, self.redirected)
            value = self.load(ip, header + rule.payload_offset, rule.width)
            refused = self.block("refused")
            switch = builder.switch(value, refused)
            for bits in {each % (1 << 8 * rule.width) for each in rule.accepted}:
                seen = bits if rule.byte_order == "little" else _as_loaded(bits, rule.width)
                switch.add_case(value.type(seen), self.redirected)
            builder.position_at_end(refused)
        builder.branch(self.dropped)

    def _match_tcp(self, ip: Any) -> None:
        builder = self.builder
        self.require_bytes(ip, IPV4_HEADER_BYTES + TcpHeader.fields["sequence"].offset, self.passed)
        # Source and destination lie side by side, so two loads hold all four.
        addresses = self.load(ip, Ipv4Header.fields["source_ip"].offset, 8)
        ports = self.load(ip, IPV4_HEADER_BYTES + TcpHeader.fields["source_port"].offset, 4)
        for each in dict.fromkeys(self.rules.tcp):
            same_addresses = builder.icmp_unsigned(
                "==", addresses, _I64(_as_loaded(each.remote_ip << 32 | each.local_ip, 8))
            )
            same_ports = builder.icmp_unsigned(
                "==", ports, _I32(_as_loaded(each.remote_port << 16 | each.local_port, 4))
            )
            next_one = self.block("session")
            builder.cbranch(builder.and_(same_addresses, same_ports), self.redirected, next_one)
            builder.position_at_end(next_one)
        builder.branch(self.passed)

    def _write_ends(self) -> None:
        builder = self.builder
        builder.position_at_end(self.passed)
        builder.ret(_I32(XDP_PASS))
        builder.position_at_end(self.dropped)
        # Every receive queue's core counts here, so atomically.
        builder.atomic_rmw("add", self.filtered, _I64(1), "monotonic")
        builder.ret(_I32(XDP_DROP))
        builder.position_at_end(self.redirected)
        pointer = _I8.as_pointer()
        helper = builder.inttoptr(_I64(_REDIRECT_MAP), ir.FunctionType(_I64, [pointer, _I64, _I64]).as_pointer())
        sockets = builder.bitcast(self.sockets, pointer)
        action = builder.call(helper, [sockets, builder.zext(self.queue, _I64), _I64(self.fallback)])
        builder.ret(builder.trunc(action, _I32))


def compile_rules(rules: SteerRules, fallback: int = XDP_PASS) -> bytes:
    """Compile to a relocatable BPF object; `fallback` is the action for a steered frame without a socket."""
    check_rules(rules)
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(_Writer(rules, fallback).write())
    # v3: 32-bit arithmetic and jumps, which every kernel since 5.1 knows.
    machine = binding.Target.from_triple("bpfel").create_target_machine(opt=2, cpu="v3")
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(2))
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def link_object(compiled_object: bytes, sockets: int, filtered: int) -> bytes:
    """Link the object: its instructions, with the two maps' descriptors where it names them."""
    maps = {"sockets": (_PSEUDO_MAP_DESCRIPTOR, sockets), "filtered": (_PSEUDO_MAP_VALUE, filtered)}
    elf: Any = ELFFile(io.BytesIO(compiled_object))
    code = bytearray(elf.get_section_by_name(_SECTION).data())
    relocations = elf.get_section_by_name(f".rel{_SECTION}")
    symbols = elf.get_section_by_name(".symtab")
    for relocation in relocations.iter_relocations() if relocations else ():
        at = relocation["r_offset"]
        kind, descriptor = maps[symbols.get_symbol(relocation["r_info_sym"]).name]
        assert code[at] == _LOAD_CONSTANT
        code[at + 1] = code[at + 1] & 0x0F | kind << 4
        struct.pack_into("<i", code, at + 4, descriptor)
    return bytes(code)


class XdpProgram(Owner):
    """One loaded program and its maps. It is gone from the interface once closed, or with the process."""

    def __init__(self, rules: SteerRules, *, fallback: int = XDP_PASS) -> None:
        """Load and attach; HostError if the kernel refuses it."""
        self._descriptors: list[int] = []
        self.users = 0  # sockets that share it; the last to close closes it
        try:
            self.sockets = self._keep(create_map(MAP_XSK, 4, QUEUES_MAX))
            self._filtered = self._keep(create_map(MAP_ARRAY, 8, 1))
            code = link_object(compile_rules(rules, fallback), self.sockets, self._filtered)
            self.instructions = len(code) // 8
            self.descriptor = self._keep(load_xdp(code))
        except HostError:
            self.close()
            raise

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def attach(self, interface_index: int, flags: int, where: str) -> None:
        """Put it on an interface of the calling thread's network namespace; HostError, as `attach_xdp`."""
        self._keep(attach_xdp(self.descriptor, interface_index, flags, where))

    def add_socket(self, queue: int, socket_descriptor: int) -> None:
        """Send steered frames of a queue to this AF_XDP socket, until it is closed."""
        update_map(self.sockets, queue, struct.pack("<I", socket_descriptor))

    @property
    def filtered(self) -> int:
        """Datagrams of steered groups that no keep rule accepted, on all queues."""
        return int.from_bytes(lookup_map(self._filtered, 0, 8), "little")

    def close(self) -> None:
        """Detach and unload."""
        while self._descriptors:
            os.close(self._descriptors.pop())
