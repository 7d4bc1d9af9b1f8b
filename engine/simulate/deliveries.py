"""What the cables have given to the engine, frame by frame, to hold its journal's account of its turns against."""

from typing import TYPE_CHECKING, Annotated

import numpy as np

from crosswire.engine.journal.decode import turns_of
from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.state import turn_order
from crosswire.nic.journal.reader import Batch
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.records import TURNS_MAX

if TYPE_CHECKING:
    from crosswire.engine.simulate.world import World

DELIVERIES_MAX = 1 << 17  # between two looks, which are 50 ms, or as long as the engine stands still


class Deliveries(Struct):
    """Frames that were given to the engine since they were taken last."""

    count: i64
    times_ns: Annotated[Array, i64, DELIVERIES_MAX]  # the engine's, of the turn
    venues: Annotated[Array, i64, DELIVERIES_MAX]


@compiled
def note_delivery(deliveries: Deliveries, venue: int, now_ns: int) -> None:
    """Note a frame."""
    if deliveries.count < DELIVERIES_MAX:
        deliveries.times_ns[deliveries.count] = now_ns
        deliveries.venues[deliveries.count] = venue
    deliveries.count += 1


def take_deliveries(world: "World") -> None:
    """Take what the cables gave since the last time."""
    deliveries = world.deliveries
    count = deliveries.count
    assert count <= DELIVERIES_MAX
    given = np.stack([deliveries.times_ns.numpy(count), deliveries.venues.numpy(count)])
    world.untold = np.concatenate([world.untold, given], axis=1)
    deliveries.count = 0


def judge_turns(world: "World", batch: Batch) -> None:
    """Hold the turns that a journal tells against what the cables gave since the last that it told."""
    given = world.untold
    order = turn_order([venue.name for venue in world.run.config.venue])
    told = np.stack(turns_of(batch).frames(order))
    world.watch.evaluated[Invariant.TURNS_TELL] += told.shape[1]
    world.untold = given[:, told.shape[1] :]
    if not np.array_equal(told, given[:, : told.shape[1]]):
        same = int((told[:, : given.shape[1]] == given[:, : told.shape[1]]).all(axis=0).argmin())
        found, expected = (str(each[:, same : same + 1].tolist()) for each in (told, given))
        world.violate(Invariant.TURNS_TELL, 0, f"[time, venue] {found}", expected)
    # A turn that has written anything else is told with that. Of others less may be left than a record holds, and the
    # turn that was cut short by a kill; and what that did not come to write.
    latest = TURNS_MAX * world.run.engine.venue_count * (1 + world.turns_forgotten)
    if world.run.engine.state.tells_turns != 0 and world.untold.shape[1] > latest:
        world.violate(Invariant.TURNS_TELL, 0, f"{world.untold.shape[1]} frames not told", f"{latest} at most")


def forget_deliveries(world: "World") -> None:
    """Begin anew, with another engine."""
    world.deliveries.count = 0
    world.untold = world.untold[:, :0]
