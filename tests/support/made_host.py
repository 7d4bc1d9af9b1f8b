"""Hosts that tests make up: their files, and what their kernels would tell by calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.nic.host.doctor.host import Discipline, Host
from crosswire.nic.host.ethtool import Card
from crosswire.nic.host.neighbour import Neighbour
from crosswire.nic.host.process import HostError

ALL_CAPABILITIES = (1 << 41) - 1


@dataclass
class MadeCalls:
    """What a made-up kernel tells. A card or neighbour that is not here does not exist."""

    cards: Mapping[str, Card] = field(default_factory=dict)
    neighbours: Mapping[int, Neighbour | None] = field(default_factory=dict)
    kept: Discipline = field(default_factory=lambda: Discipline(True, 120, 900))
    capability_bits: int = ALL_CAPABILITIES
    cpus: frozenset[int] = frozenset(range(8))
    kernel: str = "6.12.5"

    def card(self, interface: str) -> Card:
        if interface not in self.cards:
            raise HostError(f"{interface}: no such interface; see `ip link`")
        return self.cards[interface]

    def neighbour(self, interface: str, ip: int) -> Neighbour | None:
        if ip not in self.neighbours:
            raise HostError(f"{interface}: no route")
        return self.neighbours[ip]

    def discipline(self) -> Discipline:
        return self.kept

    def capabilities(self) -> int:
        return self.capability_bits

    def affinity(self) -> frozenset[int]:
        return self.cpus

    def release(self) -> str:
        return self.kernel


def made_host(root: Path, files: Mapping[str, str | bytes], calls: MadeCalls | None = None) -> Host:
    """Write a host's files below `root`."""
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else f"{text}\n".encode())
    return Host(root, calls or MadeCalls())
