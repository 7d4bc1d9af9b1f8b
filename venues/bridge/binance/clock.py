"""The time of each line: the recording host's, mended where one reading is right, and corrected by its clock's offset.

A capture's times never go back. What is told apart, each by what the lines around it and the exchange's own times say:

* a line a little earlier than the one before (two threads, a small correction of the clock): it has that one's time;
* one line, or a few, far away from their neighbours: they have the time that the exchange's fits, else that of the
  line before, and none of the later lines is moved;
* a clock that was set: later lines go on by the exchange's time, shifted alike;
* a silence: it is what the times say.
"""

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.json import DIGIT_0, NEWLINE, is_digit
from crosswire.venues.bridge.binance.line import Line, to_ns
from crosswire.venues.bridge.binance.remark import Remark, Remarks, note

STEP_NS = NS_PER_S  # between two lines; beyond it the lines around are asked
STALL_MAX_NS = 60 * NS_PER_S  # a connection that stalls delivers late by less than this
LEAD_CHANGE_MAX_NS = 3600 * NS_PER_S  # an exchange's time that is off by more is none
PEEK_LINES_MAX = 64  # looked ahead at a line that may leap
PEEK_DIGITS_MAX = 19
UNKNOWN_NS = 0


class Clock(Struct):
    """Where a recording stands in time. `local` is the recording host's clock, as it should have been."""

    offset_ns: i64  # added to the recording host's time
    drift_ppb: i64  # more of it for each second after `reference_ns`, 1e-9
    reference_ns: i64
    shift_ns: i64  # of the lines since the clock was set
    time_ns: i64  # of the last line, local; 0: none yet
    lead_ns: i64  # local less exchange time, of the last line whose times were believed
    has_lead: i64
    other_lead_ns: i64  # of the last line whose exchange time was not believed


@compiled
def local_time_at(text: Array, position: int) -> int:
    """Read the whole units of the time that a line begins with; UNKNOWN_NS if it begins with none."""
    number = 0
    digits = 0
    while is_digit(text[position]) and digits < PEEK_DIGITS_MAX:  # of 19 digits those that overflow are negative
        number = number * 10 + text[position] - DIGIT_0
        position += 1
        digits += 1
    return to_ns(number)


@compiled
def next_line(text: Array, position: int, end: int) -> int:
    """Find where the line after that at `position` begins, at most `end`."""
    while position < end and text[position] != NEWLINE:
        position += 1
    return min(position + 1, end)


@compiled
def next_time(text: Array, position: int, end: int) -> int:
    """Read the local time of the line at `position`; UNKNOWN_NS if there is none."""
    return local_time_at(text, position) if position < end else UNKNOWN_NS


@compiled
def earlier_ahead(text: Array, position: int, end: int, limit_ns: int) -> bool:
    """Tell whether the lines to come go on from before `limit_ns`: two in a row, or the last one, are earlier."""
    was_earlier = False
    for _ in range(PEEK_LINES_MAX):
        time_ns = next_time(text, position, end)
        if time_ns == UNKNOWN_NS or time_ns >= limit_ns:
            if was_earlier and position >= end:
                return True
            was_earlier = False
        elif was_earlier:
            return True
        else:
            was_earlier = True
        if position >= end:
            return False
        position = next_line(text, position, end)
    return False


@compiled
def first_time(line: Line, text: Array, position: int, end: int) -> int:
    """The time of a recording's first line: its own, unless it is the one that leaps."""
    local_ns = line.local_time_ns
    second_ns = next_time(text, position, end)
    if second_ns == UNKNOWN_NS or abs(second_ns - local_ns) <= STEP_NS:
        return local_ns
    exchange_ns = line.exchange_time_ns
    if exchange_ns != 0:
        is_off = abs(local_ns - exchange_ns) > abs(second_ns - exchange_ns) + STEP_NS
        return second_ns if is_off else local_ns
    return second_ns if earlier_ahead(text, position, end, local_ns - STEP_NS) else local_ns


@compiled
def mend_by_exchange(
    clock: Clock, line: Line, text: Array, position: int, end: int, remarks: Remarks, number: int
) -> int:
    """The time of a line that is far from the one before it, judged by the exchange's time in it."""
    local_ns = line.local_time_ns
    expected_ns = line.exchange_time_ns + clock.lead_ns
    time_ns = local_ns + clock.shift_ns
    if abs(local_ns - expected_ns) <= STEP_NS:  # the clock is right, or right again
        clock.shift_ns = 0
        time_ns = local_ns
    elif abs(time_ns - expected_ns) > STEP_NS:
        following_ns = next_time(text, position, end)
        stays = following_ns != UNKNOWN_NS and abs(following_ns - local_ns) <= STEP_NS
        if not stays:
            note(remarks, Remark.LEAP, number, 1)
            return max(clock.time_ns, expected_ns)
        if abs(time_ns - expected_ns) > STALL_MAX_NS or time_ns < clock.time_ns:
            note(remarks, Remark.CLOCK_SET, number, 1)
            clock.shift_ns = expected_ns - local_ns
            time_ns = expected_ns
    if time_ns < clock.time_ns:
        note(remarks, Remark.STEP_BACK, number, 1)
        return clock.time_ns
    return time_ns


@compiled
def mend_by_neighbours(
    clock: Clock, line: Line, text: Array, position: int, end: int, remarks: Remarks, number: int
) -> int:
    """The time of a line that is far from the one before it and has no exchange time to judge it by."""
    local_ns = line.local_time_ns
    time_ns = local_ns + clock.shift_ns
    if time_ns > clock.time_ns:
        if not earlier_ahead(text, position, end, local_ns - STEP_NS):
            return time_ns
        note(remarks, Remark.LEAP, number, 1)
        return clock.time_ns
    following_ns = next_time(text, position, end)
    if following_ns == UNKNOWN_NS or following_ns + clock.shift_ns >= clock.time_ns - STEP_NS:
        note(remarks, Remark.LEAP, number, 1)
    elif clock.time_ns - time_ns > STALL_MAX_NS:
        note(remarks, Remark.CLOCK_SET, number, 1)
        clock.shift_ns = clock.time_ns - local_ns
    else:
        note(remarks, Remark.STEP_BACK, number, 1)
    return clock.time_ns


@compiled
def check_exchange_time(clock: Clock, line: Line, time_ns: int, remarks: Remarks, number: int) -> None:
    """Take away a line's exchange time when it leaps away from those before; two that agree are believed again."""
    lead_ns = time_ns - line.exchange_time_ns
    if clock.has_lead == 0 or abs(lead_ns - clock.lead_ns) <= LEAD_CHANGE_MAX_NS:
        clock.lead_ns = lead_ns
        clock.has_lead = 1
    elif abs(lead_ns - clock.other_lead_ns) <= LEAD_CHANGE_MAX_NS:
        clock.lead_ns = lead_ns
    else:
        clock.other_lead_ns = lead_ns
        line.exchange_time_ns = 0
        note(remarks, Remark.EXCHANGE_LEAP, number, 1)


@compiled
def doubt_exchange_time(clock: Clock, line: Line) -> None:
    """Take away the exchange time of a line that was held, if it leaps: `keep_time` counted it when it came."""
    lead_ns = line.local_time_ns + clock.shift_ns - line.exchange_time_ns
    if clock.has_lead != 0 and abs(lead_ns - clock.lead_ns) > LEAD_CHANGE_MAX_NS:
        line.exchange_time_ns = 0


@compiled
def keep_time(clock: Clock, line: Line, text: Array, position: int, end: int, remarks: Remarks, number: int) -> int:
    """The packet time of line `number`, which was just read; the next begins at `position`, the text ends at `end`."""
    time_ns = line.local_time_ns + clock.shift_ns
    ahead_ns = time_ns - clock.time_ns
    is_near = -STEP_NS <= ahead_ns <= STEP_NS
    if is_near and ahead_ns < 0:
        note(remarks, Remark.STEP_BACK, number, 1)
        time_ns = clock.time_ns
    elif not is_near:
        if clock.time_ns == 0:
            time_ns = first_time(line, text, position, end)
            is_near = time_ns == line.local_time_ns
            if not is_near:
                note(remarks, Remark.LEAP, number, 1)
        elif line.exchange_time_ns != 0 and clock.has_lead != 0:
            time_ns = mend_by_exchange(clock, line, text, position, end, remarks, number)
        else:
            time_ns = mend_by_neighbours(clock, line, text, position, end, remarks, number)
    clock.time_ns = time_ns
    if is_near and line.exchange_time_ns != 0:
        check_exchange_time(clock, line, time_ns, remarks, number)
    packet_ns = time_ns + clock.offset_ns
    if clock.drift_ppb != 0:
        packet_ns += (time_ns - clock.reference_ns) // NS_PER_MS * clock.drift_ppb // (NS_PER_S // NS_PER_MS)
    if packet_ns < line.exchange_time_ns:
        note(remarks, Remark.SENT_LATER, number, 1)
    return packet_ns
