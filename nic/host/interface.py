"""An interface as the kernel knows it: its number, and what it lost before any ring of ours had a say."""

import socket

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError


def interface_index(interface: str) -> int:
    """The kernel's number of an interface in the calling thread's network namespace; HostError if there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise HostError(f"{interface}: no such interface; see `ip link`") from None


class InterfaceDrops(Owner):
    """Frames that an interface received and lost before they were steered anywhere; 0 when it is made.

    Counted are the driver's and the kernel's own: no buffer, a full backlog. Looks at the network namespace that the
    calling thread is in when it is made, from then on without any capability.
    """

    def __init__(self, interface: str) -> None:
        self.interface = interface
        # The open file stays with its namespace, whatever becomes of the thread.
        self._file = open("/proc/thread-self/net/dev")  # noqa: SIM115 - closed by `close`
        self._before = 0
        self._before = self.count()

    def count(self) -> int:
        """The count since this was made. HostError if the interface is gone."""
        self._file.seek(0)
        for line in self._file:
            name, _, figures = line.partition(":")
            if name.strip() == self.interface:
                return int(figures.split()[3]) - self._before  # receive: bytes, packets, errs, drop, ...
        raise HostError(f"{self.interface}: no such interface any more; its drops are not known")

    def close(self) -> None:
        """Look no more."""
        self._file.close()
