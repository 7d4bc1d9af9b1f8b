"""`RemoteRing`: a ring of any class behind the entries of a unit of its own.

In front of what is large and shared: a simulated exchange is compiled once, for whatever venue talks to it, and the
venue's own unit does not grow by it.
"""

from typing import Annotated, Any

from crosswire.nic.memory.struct import Reference, Struct, address_of, i64, one
from crosswire.nic.rings.connection import connection_of, has_connections, reconnect, select_stream
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import Generic
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Entry, Unit


class RingEntries(Struct):
    """Addresses of the entries, each with the name of its function in the ring contracts."""

    poll: i64
    release: i64
    reserve: i64
    commit: i64
    flush: i64
    next_time_ns: i64
    connection_of: i64
    select_stream: i64
    reconnect: i64


class RemoteRing(Struct):
    """The ring at `ring`; its owner keeps it alive."""

    ring: i64  # address
    counters: Annotated[RingCounters, Reference]  # its own
    entries: RingEntries


_SHAPES: dict[Generic[..., Any], tuple[Any, ...]] = {
    poll: (Frame, "i64"),
    release: (),
    reserve: ("i64",),
    commit: ("i64", "i64"),
    flush: (),
    next_time_ns: (),
    connection_of: ("i64",),
    select_stream: ("i64",),
    reconnect: ("i64", "i64"),
}
_CONNECTION = (connection_of, select_stream, reconnect)


def ring_unit(cls: type[Struct]) -> Unit:
    """The unit of rings of this class: the ring contract, and of `connection`'s what the class implements."""
    entries = []
    for function, kinds in _SHAPES.items():
        if has_connections(cls) or function not in _CONNECTION:
            implementation = function.implementation_for(cls)
            entries.append(Entry(function.__name__, implementation, (cls, *kinds)))  # type: ignore[attr-defined]
    return Unit(f"ring-{cls.__name__}", tuple(entries))


def make_remote_ring(ring: Any, linker: Linker) -> RemoteRing:
    """Make a ring in front of `ring`, usable once `linker` has loaded."""
    remote = RemoteRing(ring=address_of(ring))
    remote.memory.targets[remote.ring] = one(ring)  # kept alive
    remote.counters = ring.counters
    linker.link_all(remote.entries, ring_unit(type(ring)))
    return remote


@poll.register(RemoteRing)
def poll_remote(remote: RemoteRing, frame: Frame, now_ns: int) -> bool:
    return call_entry(remote.entries.poll, remote.ring, address_of(frame), now_ns) != 0


@release.register(RemoteRing)
def release_remote(remote: RemoteRing) -> None:
    call_entry(remote.entries.release, remote.ring)


@reserve.register(RemoteRing)
def reserve_remote(remote: RemoteRing, length: int) -> int:
    return call_entry(remote.entries.reserve, remote.ring, length)


@commit.register(RemoteRing)
def commit_remote(remote: RemoteRing, length: int, now_ns: int) -> None:
    call_entry(remote.entries.commit, remote.ring, length, now_ns)


@flush.register(RemoteRing)
def flush_remote(remote: RemoteRing) -> None:
    call_entry(remote.entries.flush, remote.ring)


@next_time_ns.register(RemoteRing)
def next_remote_ns(remote: RemoteRing) -> int:
    return call_entry(remote.entries.next_time_ns, remote.ring)


@connection_of.register(RemoteRing)
def connection_of_remote(remote: RemoteRing, stream: int) -> int:
    if remote.entries.connection_of == 0:
        return 0
    return call_entry(remote.entries.connection_of, remote.ring, stream)


@select_stream.register(RemoteRing)
def select_remote_stream(remote: RemoteRing, stream: int) -> None:
    call_entry(remote.entries.select_stream, remote.ring, stream)


@reconnect.register(RemoteRing)
def reconnect_remote(remote: RemoteRing, stream: int, now_ns: int) -> None:
    if remote.entries.reconnect != 0:
        call_entry(remote.entries.reconnect, remote.ring, stream, now_ns)
