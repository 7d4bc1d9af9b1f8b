"""Records out of a window of capture bytes, in the order of the file: compiled, nothing copied, each read once."""

from crosswire.nic.capture.contents import look_inside
from crosswire.nic.capture.format import BlockType, FileMagic
from crosswire.nic.capture.link import make_ethernet
from crosswire.nic.capture.order import begin_part, is_due, order_record, settle_run
from crosswire.nic.capture.pcap import read_pcap_header, read_pcap_record
from crosswire.nic.capture.pcapng import read_block
from crosswire.nic.capture.search import search
from crosswire.nic.capture.stamps import Stamps, take_stamp
from crosswire.nic.capture.state import TIME_UNKNOWN, Format, Source, SourceState, Window
from crosswire.nic.memory.struct import view
from crosswire.nic.unit.compile import compiled


def set_source(source: Source, stamps: Stamps) -> None:
    """Prepare a zeroed source for the first record of a capture, whose first bytes have been recognised."""
    source.reference_ns = TIME_UNKNOWN
    source.stamps = stamps


@compiled
def read_record(window: Window, source: Source) -> int:
    """Read the file's next record that can be given as an Ethernet frame; READY, ENDED or STARVED.

    STARVED leaves `source` such that the call can be made again. What is wrong is noted in `source.defects`, and
    passed over.
    """
    while True:
        if source.is_searching != 0:
            state = search(window, source)
        elif source.format == Format.UNKNOWN:
            state = read_file_header(window, source)
        elif source.format == Format.PCAPNG:
            state = read_block(window, source)
        else:
            state = read_pcap_record(window, source)
        if state == SourceState.READY:
            if make_ethernet(window, source, source.link_type):
                if source.stamps != Stamps.NONE:
                    take_stamp(window, source)
                look_inside(window, source)
                return state
        elif state != SourceState.EMPTY:
            return state


@compiled
def read_file_header(window: Window, source: Source) -> int:
    """Take in the header at `source.position` that was found there, of the file or of one that was put behind it."""
    begin_part(source)
    if view(FileMagic, window.base_address + source.position).magic == BlockType.SECTION:
        source.format = Format.PCAPNG
        source.interface_count = 0
        return SourceState.EMPTY
    return read_pcap_header(window, source)


@compiled
def find_head(window: Window, source: Source) -> int:
    """Read on until the next record in the order of time is known; sets `source.state` to READY, ENDED or STARVED."""
    while not is_due(window, source):
        if source.ended != 0:
            source.state = SourceState.ENDED
            return SourceState.ENDED
        state = read_record(window, source)
        if state == SourceState.STARVED:
            source.state = state
            return state
        if state == SourceState.READY:
            order_record(source)
        else:
            source.ended = 1
            settle_run(source)
    source.state = SourceState.READY
    return SourceState.READY
