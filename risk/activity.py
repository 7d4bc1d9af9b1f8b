"""Throttles by what was done before: messages a fill at a venue, and executions that repeat."""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined

EXECUTIONS_MAX = 32  # of one strategy, instrument and side that may be counted within a window


class OrderToTrade(Struct):
    """Messages and fills of one venue, in the running window and the one before it: over one to two windows."""

    messages_per_fill_max: i64  # 0: not limited
    messages_min: i64  # up to so many there is no ratio to speak of
    window_ns: i64
    begun_ns: i64  # of the running window
    messages: i64
    messages_before: i64
    fills: i64
    fills_before: i64


class Executions(Struct):
    """When one strategy's last fills of one instrument and side were; a ring."""

    count: i64
    times_ns: Annotated[Array, i64, EXECUTIONS_MAX]


@inlined
def roll_window(activity: OrderToTrade, now_ns: int) -> None:
    """Begin a new window when the running one is over."""
    elapsed_ns = now_ns - activity.begun_ns
    if elapsed_ns < activity.window_ns:
        return
    is_next = elapsed_ns < 2 * activity.window_ns
    activity.messages_before = activity.messages if is_next else 0
    activity.fills_before = activity.fills if is_next else 0
    activity.messages = 0
    activity.fills = 0
    activity.begun_ns = now_ns


@inlined
def has_too_few_fills(activity: OrderToTrade, count: int, now_ns: int) -> bool:
    """Tell whether `count` more messages would be too many for the fills there were."""
    if activity.messages_per_fill_max == 0:
        return False
    roll_window(activity, now_ns)
    messages = activity.messages + activity.messages_before + count
    fills = max(1, activity.fills + activity.fills_before)
    return messages > activity.messages_min and messages > activity.messages_per_fill_max * fills


@compiled
def count_messages(activity: OrderToTrade, count: int, now_ns: int) -> None:
    """Count what was sent to a venue; cancels, too, though they are never refused."""
    if activity.messages_per_fill_max != 0:
        roll_window(activity, now_ns)
        activity.messages += count


@compiled
def count_execution(activity: OrderToTrade, now_ns: int) -> None:
    """Count a fill at a venue."""
    if activity.messages_per_fill_max != 0:
        roll_window(activity, now_ns)
        activity.fills += 1


@compiled
def note_execution(executions: Executions, executions_max: int, now_ns: int) -> None:
    """Remember when a fill was, in place of the one `executions_max` fills ago."""
    executions.times_ns[executions.count % executions_max] = now_ns
    executions.count += 1


@inlined
def repeats(executions: Executions, executions_max: int, window_ns: int, now_ns: int) -> bool:
    """Tell whether the last `executions_max` fills were all within the window."""
    if executions.count < executions_max:
        return False
    return now_ns - executions.times_ns[executions.count % executions_max] < window_ns
