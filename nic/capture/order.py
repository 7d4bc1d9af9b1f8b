"""Records in the order of their times: what a bounded wait can mend, and what it can't.

A record waits until ORDER_RECORDS others have come after it (or those that wait take up the window's `span_bytes`), and
whichever is earliest goes first. That puts right what several interfaces or cores wrote in turns. A record that comes
later still is counted (Defect.LATE) and gets the time of the one taken before it: time never goes back.

A time that steps by more than LEAP_NS from the record before it, in the file, begins a run of records that are
doubted, and held, until it is known which of these it is:

    T T T F F T T     back again within RUN_RECORDS_MAX: the run's times were wrong     Defect.LEAP, mended
    F T T T T         the run soon outnumbers what the file began with, which was       Defect.LEAP, the start is mended
                      later than it, or years earlier
    T T T (hours) U U it stays: time passed in silence                                  nothing wrong
    T T T S S S S S   it stays, and goes back: the clock was set, or files were joined  Defect.CLOCK_STEP, told

A mended record, or one without a time of its own, gets that of the record before it in the file.
"""

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.state import (
    LEAP_NS,
    NO_INTERFACE,
    ORDER_RECORDS,
    RUN_RECORDS_MAX,
    SILENCE_NS_MAX,
    TIME_UNKNOWN,
    WAITING_MASK,
    Source,
    SourceState,
    Waiting,
    Window,
)
from crosswire.nic.memory.struct import copy_struct
from crosswire.nic.unit.compile import compiled


@compiled
def order_record(source: Source) -> None:
    """Put the record read last among those that wait."""
    time_ns = source.time_ns
    if source.reference_ns == TIME_UNKNOWN:
        if time_ns != TIME_UNKNOWN:
            source.reference_ns = time_ns
            give_time(source, time_ns)
        source.reference_records += 1
    elif time_ns == TIME_UNKNOWN:
        time_ns = source.reference_ns if source.run_records == 0 else source.run_ns
        source.run_records += min(source.run_records, 1)
    elif abs(time_ns - source.reference_ns) <= LEAP_NS:
        if source.run_records != 0:
            mend(source, source.run_ordinal, source.records, source.reference_ns)
            source.run_records = 0
        if time_ns == 0 and source.reference_ns == 0:  # a trace may begin at 0, but two records hardly
            note(source, Defect.NO_TIME, source.record_offset, 1 + int(source.reference_records == 1))
        source.reference_ns = time_ns
        source.reference_records += 1
    else:
        go_on_leaping(source, time_ns)
    insert(source, time_ns)


@compiled
def begin_part(source: Source) -> None:
    """Begin the records of another capture in the same file: its times need not follow those before."""
    settle_run(source)
    source.reference_ns = TIME_UNKNOWN
    source.reference_records = 0
    source.is_start = 1
    source.start_ordinal = source.records + 1


@compiled
def give_time(source: Source, time_ns: int) -> None:
    """Give the part's first records, which came without, the time of the first that has one."""
    for place in range(source.first, source.first + source.count):
        waiting = source.waiting[place & WAITING_MASK]
        if waiting.time_ns == TIME_UNKNOWN:
            waiting.time_ns = time_ns
    sort_waiting(source)


@compiled
def go_on_leaping(source: Source, time_ns: int) -> None:
    """Take in a time that is far from the last that was believed."""
    if source.run_records == 0:
        source.run_ordinal = source.records
        source.run_start_ns = time_ns
    source.run_records += 1
    source.run_ns = time_ns
    # A run that goes on leaping is one of several silences: the first of them is what must be too long.
    silence_ns = min(time_ns, source.run_start_ns) - source.reference_ns
    is_impossible = time_ns < source.reference_ns or silence_ns > SILENCE_NS_MAX
    if is_impossible and source.is_start != 0 and source.reference_records < source.run_records:
        mend(source, source.start_ordinal, source.run_ordinal, source.run_start_ns)
        believe_run(source)
    elif source.run_records >= RUN_RECORDS_MAX:
        settle_run(source)


@compiled
def settle_run(source: Source) -> None:
    """Decide about a run that no other record contradicts."""
    if source.run_records == 0:
        return
    if source.run_ns < source.reference_ns:
        if source.ended != 0 and source.run_records < min(source.reference_records, RUN_RECORDS_MAX):
            mend(source, source.run_ordinal, source.records + 1, source.reference_ns)
            source.run_records = 0
            return
        note(source, Defect.CLOCK_STEP, source.record_offset, 1)
    believe_run(source)


@compiled
def believe_run(source: Source) -> None:
    source.reference_ns = source.run_ns
    source.reference_records = source.run_records
    source.is_start = 0
    source.run_records = 0


@compiled
def mend(source: Source, first_ordinal: int, end_ordinal: int, time_ns: int) -> None:
    """Give the waiting records of these places in the file another time, and count them."""
    for place in range(source.first, source.first + source.count):
        waiting = source.waiting[place & WAITING_MASK]
        if first_ordinal <= waiting.ordinal < end_ordinal:
            note(source, Defect.LEAP, waiting.frame_offset, 1)
            waiting.time_ns = time_ns
    sort_waiting(source)


@compiled
def sort_waiting(source: Source) -> None:
    """Put those that wait in order again, after their times have changed."""
    end = source.first + source.count
    source.count = 0
    spare = source.spare
    for place in range(source.first, end):
        copy_struct(spare, source.waiting[place & WAITING_MASK])
        place_waiting(source, spare)


@compiled
def insert(source: Source, time_ns: int) -> None:
    """Let the record read last wait with this time."""
    end = source.first + source.count
    last_ns = source.waiting[(end - 1) & WAITING_MASK].time_ns if source.count != 0 else TIME_UNKNOWN
    is_last = last_ns <= time_ns
    spare = source.waiting[end & WAITING_MASK] if is_last else source.spare
    spare.time_ns = time_ns
    spare.frame_offset = source.frame_offset
    spare.frame_length = source.frame_length
    spare.ordinal = source.records
    spare.rank = source.rank
    spare.interface = source.interface
    if not is_last:
        place_waiting(source, spare)
        return
    source.count += 1
    if last_ns == time_ns:
        note_tie(source, end, False)


@compiled
def place_waiting(source: Source, new: Waiting) -> None:
    """Put a record behind those that are earlier, or as early and before it in the file.

    One that was written late, with the very time of others, can't be known to be before or behind them, unless they are
    its own interface's. The n-th of each interface are put side by side, as if they had come in turns.
    """
    end = source.first + source.count
    place = end
    while place > source.first:
        before = source.waiting[(place - 1) & WAITING_MASK]
        if before.time_ns <= new.time_ns and not goes_before(new, before, place == end):
            break
        copy_struct(source.waiting[place & WAITING_MASK], before)
        place -= 1
    copy_struct(source.waiting[place & WAITING_MASK], new)
    source.count += 1
    if new.ordinal == source.records:
        note_tie(source, place, place != end)


@compiled
def goes_before(new: Waiting, before: Waiting, is_last: bool) -> bool:
    """Tell whether a record goes before another that is no later, and is the last of all or not."""
    if before.time_ns < new.time_ns:
        return False
    if new.ordinal < before.ordinal:
        return True
    return not is_last and new.rank < before.rank


@compiled
def note_tie(source: Source, place: int, is_moved: bool) -> None:
    """Count the record now read, which went to `place`, if it was written late or its order would then be a guess."""
    new = source.waiting[place & WAITING_MASK]
    source.moved += int(is_moved and source.run_records == 0)  # else those that it went before are in doubt
    if source.time_ns != new.time_ns:
        return  # its time is not its own, but says that it comes behind the one before
    for other in (place - 1, place + 1):
        if source.first <= other < source.first + source.count:
            neighbour = source.waiting[other & WAITING_MASK]
            is_own = neighbour.interface == new.interface and new.interface != NO_INTERFACE
            if neighbour.time_ns == new.time_ns and not is_own:
                if source.ties == 0:
                    source.tie_offset = new.frame_offset
                source.ties += 1
                return


@compiled
def is_due(window: Window, source: Source) -> bool:
    """Tell whether the first that waits can be taken: it is the file's last, or has waited long enough."""
    if source.count == 0:
        return False
    if source.ended != 0:
        return True
    if source.count >= ORDER_RECORDS:
        head = source.waiting[source.first & WAITING_MASK]
        return (source.run_records == 0 or head.ordinal < source.run_ordinal) and (
            head.time_ns != TIME_UNKNOWN or source.count >= ORDER_RECORDS + RUN_RECORDS_MAX
        )
    if source.position - source.oldest_offset < window.span_bytes:
        return False
    source.oldest_offset = source.position
    for place in range(source.first, source.first + source.count):
        source.oldest_offset = min(source.oldest_offset, source.waiting[place & WAITING_MASK].frame_offset)
    return source.position - source.oldest_offset >= window.span_bytes


@compiled
def head_time(source: Source) -> int:
    """The time that the first that waits will be taken with."""
    head = source.waiting[source.first & WAITING_MASK]
    return max(head.time_ns, source.emitted_ns)


@compiled
def take_head(source: Source) -> Waiting:
    """Take the first that waits; what is returned stays as it is until the next record is read."""
    head = source.waiting[source.first & WAITING_MASK]
    if head.time_ns < source.emitted_ns:
        if head.time_ns != TIME_UNKNOWN:
            note(source, Defect.LATE, head.frame_offset, 1)
        head.time_ns = source.emitted_ns
    source.emitted_ns = head.time_ns
    source.first += 1
    source.count -= 1
    source.state = SourceState.EMPTY
    return head
