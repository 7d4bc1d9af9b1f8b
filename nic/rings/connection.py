"""What an order session asks of the ring that carries its stream, beside the ring contract.

A ring carries up to CONNECTIONS_MAX streams, one a gateway. Whatever is below (a simulated wire, the kernel's TCP, our
own), the session writes and reads frames with headers; `tcp_sequence` counts each direction's bytes from 0 at the
beginning of a connection, and the frame's ports say which stream it belongs to.
"""

from crosswire.nic.memory.struct import Struct, view
from crosswire.nic.packet import TcpFrame, flags_and_window, fold_checksum
from crosswire.nic.rings.ring import commit
from crosswire.nic.unit.compile import generic, inlined, inlined_generic

CONNECTIONS_MAX = 2  # streams of one ring: a venue's gateways A and B


@generic
def connection_of(ring: Struct, stream: int) -> int:
    """The number of the stream's present connection, from 1; 0 while there is none. A new number: all begins anew."""


@generic
def select_stream(ring: Struct, stream: int) -> None:
    """Have what is reserved and committed from now on belong to this stream."""


@generic
def reconnect(ring: Struct, stream: int, now_ns: int) -> None:
    """Give up the stream's connection, if there is one, and open another; nothing happens where only Python can."""


@generic
def commit_numbered(
    ring: Struct, slot: int, length: int, sequence: int, acknowledgement: int, unnumbered_sum: int, now_ns: int
) -> None:
    """Commit the reserved slot: the stream's next frame, of which both sequence numbers and the TCP checksum are to be
    written. `unnumbered_sum` is what the checksum sums up without them and without `flags_and_window`, unfolded, below
    2**38.
    """


@inlined_generic
def own_header_bytes(ring: Struct) -> int:
    """How many bytes of a frame `commit_numbered` writes whatever is there: what need not be copied from a template."""


@commit_numbered.register(Struct)
@inlined
def commit_with_header(
    ring: Struct, slot: int, length: int, sequence: int, acknowledgement: int, unnumbered_sum: int, now_ns: int
) -> None:
    """Write them, and commit: what a ring does that registers nothing of its own."""
    tcp = view(TcpFrame, slot).tcp
    tcp.sequence = sequence
    tcp.acknowledgement = acknowledgement
    tcp.checksum = fold_checksum(unnumbered_sum + sequence + acknowledgement + flags_and_window(tcp))
    commit(ring, length, now_ns)


@own_header_bytes.register(Struct)
@inlined
def no_own_header(_ring: Struct) -> int:
    return 0


@connection_of.register(Struct)
def no_connection(_ring: Struct, _stream: int) -> int:
    """Return 0: a ring that registers nothing of its own carries frames, and knows of no connections."""
    return 0


@reconnect.register(Struct)
def open_none(_ring: Struct, _stream: int, _now_ns: int) -> None:
    """Do nothing, for the same reason."""


def has_connections(ring: type[Struct]) -> bool:
    """Tell whether a class of rings knows of connections."""
    return connection_of.implementation_for(ring) is not no_connection
