"""How a reader notes what is wrong with a record, and goes on."""

from crosswire.nic.capture.defects import LINK_TYPES_MAX, OTHER_LINK_TYPE
from crosswire.nic.capture.state import Source
from crosswire.nic.unit.compile import compiled


@compiled
def note(source: Source, defect: int, offset: int, count: int) -> None:
    """Count some of a kind, the first of them at stream offset `offset`."""
    defects = source.defects
    if defects.counts[defect] == 0:
        defects.first_offsets[defect] = offset
    defects.counts[defect] += count


@compiled
def note_link_type(source: Source, link_type: int) -> None:
    """Count the record read last among those of a link type that is not read."""
    defects = source.defects
    place = LINK_TYPES_MAX - 1
    for number in range(LINK_TYPES_MAX):
        if defects.link_types[number] in (0, link_type + 1):
            place = number
            break
    if defects.link_counts[place] == 0:
        defects.link_types[place] = link_type + 1
        defects.link_offsets[place] = source.record_offset
    elif defects.link_types[place] != link_type + 1:
        defects.link_types[place] = OTHER_LINK_TYPE + 1
    defects.link_counts[place] += 1
