"""The one way into a running loop: a slot for one command, in a page that another process may write.

    the monitor                                     the loop, every LOOK_NS
    writes `command`, then `number` (release)  ->   sees another number (acquire), copies `command`, judges the copy
    sees `answered` == number (acquire)        <-   writes `outcome` and `detail`, then `answered` (release)

The page is the only memory of a run that the monitor can write. Nothing in it is believed: the loop looks at the copy
alone, knows for itself which command it took last, and takes one each LOOK_NS however many there are. Nobody waits for
the other, but a client that wants an answer.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

import numpy as np

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import copy_bytes, store_i64_release
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, i64, u8
from crosswire.risk.records import INSTRUMENTS_MAX, CommandRecord

LOOK_NS = NS_PER_MS  # between two looks at the slot
ITEMS_MAX = 64  # values of one SET
NAME_BYTES = 200  # of a parameter's dotted name
UNIT_BYTES = 24
CLIENT_BYTES = 32  # of a client's name
EVERY = -1  # a selector: all of them
NOBODYS = -1  # `Parameter.strategy`: a limit of the run
MAILBOX_BYTES = 4096
MAILBOX_MAGIC = 0x4D41_494C_424F_5831  # "MAILBOX1"


class CommandKind(IntEnum):
    """What an operator can ask for."""

    PAUSE = 1  # send nothing but cancels, and cancel everything
    REDUCE_ONLY = 2  # send only what makes a position smaller, and cancel everything
    RESUME = 3  # take back what the operator asked for; what anything else asked for stays
    CANCEL_ALL = 4  # cancel all, or those of a venue, an instrument, a strategy; trading goes on
    FLATTEN = 5  # as REDUCE_ONLY, and trade all positions down to nothing; strategies send nothing meanwhile
    KILL = 6  # cancel everything and end the run
    SET = 7  # change parameters, all of them or none


class Outcome(IntEnum):
    """What became of a command. Index into `Control.outcomes`."""

    DONE = 0
    BEGUN = 1  # FLATTEN: `Flatten.state` tells how it goes on
    UNCHANGED = 2  # it was so already, or stricter: only RESUME loosens
    BAD_KIND = 3
    BAD_SELECTOR = 4  # no such venue, instrument or strategy, or a command that takes none
    BAD_COUNT = 5  # a SET without items or with too many, or items of another command
    BAD_PARAMETER = 6  # `detail`: the item that names none, or one that stands there twice
    OUT_OF_RANGE = 7  # `detail`: the item
    CONTRADICTION = 8  # `detail`: the rule that the values break together
    LEAVING = 9  # the run is ending
    FORBIDDEN = 10  # something else allows cancels only


ACCEPTED = (Outcome.DONE, Outcome.BEGUN, Outcome.UNCHANGED)


class Flattening(IntEnum):
    """How far a FLATTEN is."""

    NONE = 0  # none was asked for
    ON = 1
    FLAT = 2  # nothing is held any more
    LEFT = 3  # its tries are used up, and something is
    STOPPED = 4  # by another command


class CommandItem(Struct):
    """One value of a SET."""

    parameter: i64  # its place in `Control.parameters`
    value: i64  # in the unit that is kept there


class Command(Struct):
    """A command, as it is written by who asks and as it is copied by the loop."""

    kind: i64  # CommandKind
    venue: i64  # CANCEL_ALL: whose orders, EVERY: of all venues
    instrument: i64
    strategy: i64
    client: Annotated[Array, u8, CLIENT_BYTES]
    item_count: i64
    items: Annotated[Array, CommandItem, ITEMS_MAX]


class Mailbox(Struct):
    """The slot, and the answer."""

    magic: i64
    number: Annotated[Array, i64, 1]  # of the command: one more than the last; set last
    command: Command
    answered: Annotated[Array, i64, 1]  # the number that `outcome` is of; set last
    outcome: i64
    detail: i64


class Parameter(Struct):
    """A number that may be changed while the loop runs, between two turns."""

    address: i64  # of the i64
    least: i64
    most: i64
    staged: i64  # its value while a SET is judged
    strategy: i64  # whose it is; NOBODYS: no strategy's


class ParameterText(Struct):
    """How a parameter is called, and what one of its number is worth: numerator / denominator of the unit."""

    name: Annotated[Array, u8, NAME_BYTES]
    unit: Annotated[Array, u8, UNIT_BYTES]
    numerator: i64
    denominator: i64


class Rule(Struct):
    """What must hold of two parameters together, and what is derived from them.

    first * first_factor + second * second_factor <= most; the sum is kept at `address` where it is larger than what
    stands there.
    """

    first: i64
    first_factor: i64
    second: i64
    second_factor: i64
    most: i64
    address: i64  # of an i64; 0: nothing is derived


class Flatten(Struct):
    """A FLATTEN that is on, or the last one."""

    state: i64  # Flattening
    number: i64  # of its command
    due_ns: i64  # when the positions are looked at next
    interval_ns: i64
    tries_max: i64
    band_e9: i64  # how far through the opposite best its orders reach, fraction of that price
    left: i64  # instruments that are still held
    begun_lots: Annotated[Array, i64, INSTRUMENTS_MAX]
    tries: Annotated[Array, i64, INSTRUMENTS_MAX]


class Control(Struct):
    """The loop's side of the mailbox."""

    mailbox: i64  # its address; 0: no command reaches this run
    look_ns: i64  # when it is looked at next
    seen: i64  # number of the last command that was taken
    command: Command  # the copy that is judged
    outcome: i64  # of the last command
    detail: i64
    outcomes: Annotated[Array, i64, len(Outcome)]  # commands by what became of them
    is_killed: i64
    killer: Annotated[Array, u8, CLIENT_BYTES]
    flatten: Flatten
    parameter_count: i64
    parameters: Annotated[Pointer, Parameter]
    texts: Annotated[Pointer, ParameterText]
    rule_count: i64
    rules: Annotated[Pointer, Rule]


assert Mailbox.size <= MAILBOX_BYTES
assert CommandRecord.fields["client_3"].offset - CommandRecord.fields["client_0"].offset == CLIENT_BYTES - 8


def write_command(
    mailbox: Mailbox,
    number: int,
    kind: int,
    selectors: tuple[int, int, int],
    client: bytes,
    items: Sequence[tuple[int, int]],
) -> None:
    """Put a command into the slot; `selectors` are venue, instrument and strategy, `client` has CLIENT_BYTES."""
    command = mailbox.command
    command.kind = kind
    command.venue, command.instrument, command.strategy = selectors
    copy_bytes(address_of(command.client), np.frombuffer(client, np.uint8).ctypes.data, CLIENT_BYTES)
    command.item_count = len(items)
    for place, (parameter, value) in enumerate(items):
        command.items[place].parameter, command.items[place].value = parameter, value
    store_i64_release(address_of(mailbox.number), number)


def client_text(client: bytes) -> str:
    """Read a client's name; what can't be shown is replaced."""
    text = client.rstrip(b"\0").decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def client_bytes(client: str) -> bytes:
    """Write a client's name. ValueError: it has no letters, or too many."""
    data = client.encode()
    if not 0 < len(data) <= CLIENT_BYTES:
        raise ValueError(f"a client's name has 1 to {CLIENT_BYTES} bytes, not {len(data)}: {client}")
    return data.ljust(CLIENT_BYTES, b"\0")
