"""Where a resting order stands in the queue at its price, on data that show each price's size and not its orders.

What trades at the price comes from the front. What the level loses beside that was cancelled, ahead of us or behind:
nobody can tell, so a model says. With `front` lots ahead and `back` behind, a level that goes from `shown` to `now`
while `traded` lots traded there has lost c = shown - now - traded to cancels, of which the share p was behind us:

    front' = min(now, front - (1 - p) * c + min(0, back - p * c))        back = shown - front

These are the models of hftbacktest 2.4.4 (hftbacktest/src/backtest/models/queue.rs; the idea is from
https://rigtorp.se/2013/06/08/estimating-order-queue-position.html), quantities in contracts as there:

* RISK_AVERSE: front' = min(now, front). Every cancel is behind us while that can be (RiskAdverseQueueModel).
* POWER:   p = b**n / (b**n + f**n), b and f the back and the front (PowerProbQueueFunc)
* POWER_2: p = b**n / (b + f)**n (PowerProbQueueFunc2)
* POWER_3: p = 1 - (f / (f + b))**n (PowerProbQueueFunc3)
* LOG:     p = log(1 + b) / (log(1 + b) + log(1 + f)) (LogProbQueueFunc)
* LOG_2:   p = log(1 + b) / log(1 + b + f) (LogProbQueueFunc2)

**A trade that is told after the book change that it made** would count twice: once as a cancel, once as a trade. So the
last decreases are kept. A trade that is not newer than what the level shows is first taken out of the decreases of its
time or later, and the model is asked again what each would have meant with that much of it traded. What no decrease
explains has traded all the same (others came while it did), but explains no later decrease. A trade that is older than
what the book showed when we came was before us and does not count.
"""

import math
from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, f64, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.market import Event

DECREASES_MAX = 8  # of a level, remembered for trades that are told late; the oldest goes first


class QueueModel(IntEnum):
    RISK_AVERSE = 0
    POWER = 1
    POWER_2 = 2
    POWER_3 = 3
    LOG = 4
    LOG_2 = 5


class Queue(Struct):
    """The model, of all orders of an exchange."""

    model: i64  # QueueModel
    power: f64  # n of the POWER models


class Decrease(Struct):
    """A level that shrank by more than was known to have traded."""

    time_ns: i64  # by the exchange's clock
    shown_lots: i64  # before
    now_lots: i64
    traded_lots: i64  # of the difference
    late_lots: i64  # of those, told afterwards
    front_lots: f64  # before
    left_lots: f64  # of the front, as the model has it


class QueuePlace(Struct):
    """One order's place."""

    front_lots: f64  # that trade before us
    contracts_per_lot: f64
    shown_lots: i64  # by the level, when it was seen last
    shown_ns: i64  # exchange time of that
    joined_ns: i64  # exchange time of what the book showed when we came
    traded_lots: i64  # since
    traded_ns: i64  # exchange time of the last of those trades
    is_unseen: i64  # 1: the level lies beyond those that the book shows
    count: i64
    decreases: Annotated[Array, Decrease, DECREASES_MAX]  # oldest first


@compiled
def join_queue(place: QueuePlace, shown_lots: int, time_ns: int, is_unseen: int, contracts_per_lot: float) -> None:
    """Stand behind all that the level shows."""
    place.front_lots = shown_lots
    place.contracts_per_lot = contracts_per_lot
    place.shown_lots = shown_lots
    place.shown_ns = place.joined_ns = time_ns
    place.traded_lots = 0
    place.traded_ns = 0
    place.is_unseen = is_unseen
    place.count = 0


@compiled
def is_before(place: QueuePlace, trade: Event) -> bool:
    """Tell whether a trade was made before the order came."""
    return trade.exchange_time_ns < place.joined_ns


@compiled
def see_level(queue: Queue, place: QueuePlace, now_lots: int, time_ns: int) -> None:
    """Take up what the level shows."""
    place.shown_ns = max(place.shown_ns, time_ns)
    if place.is_unseen != 0:
        if now_lots > 0:
            place.front_lots = place.shown_lots = now_lots
            place.is_unseen = 0
        return
    shown_lots, traded_lots, front_lots = place.shown_lots, place.traded_lots, place.front_lots
    # A message that was made before the last trade, and came after it, has no more of the trades than it shows: what is
    # left of them a later one will show.
    later_lots = max(0, traded_lots - max(0, shown_lots - now_lots)) if time_ns < place.traded_ns else 0
    if now_lots == shown_lots and traded_lots == later_lots:
        return
    traded_lots -= later_lots
    front_lots += later_lots
    left_lots = front_after(queue, front_lots, shown_lots, now_lots, traded_lots, place.contracts_per_lot)
    if shown_lots - now_lots > traded_lots:
        decrease = add_decrease(place)
        decrease.time_ns = time_ns
        decrease.shown_lots = shown_lots
        decrease.now_lots = now_lots
        decrease.traded_lots = traded_lots
        decrease.late_lots = 0
        decrease.front_lots = front_lots
        decrease.left_lots = left_lots
    place.front_lots = max(0.0, left_lots - later_lots)
    place.shown_lots = now_lots
    place.traded_lots = later_lots


@compiled
def add_decrease(place: QueuePlace) -> Decrease:
    """Make room for a decrease."""
    if place.count == DECREASES_MAX:
        for index in range(1, DECREASES_MAX):
            older, younger = place.decreases[index - 1], place.decreases[index]
            older.time_ns = younger.time_ns
            older.shown_lots = younger.shown_lots
            older.now_lots = younger.now_lots
            older.traded_lots = younger.traded_lots
            older.late_lots = younger.late_lots
            older.front_lots = younger.front_lots
            older.left_lots = younger.left_lots
    else:
        place.count += 1
    return place.decreases[place.count - 1]


@compiled
def see_trade(queue: Queue, place: QueuePlace, qty_lots: int, time_ns: int) -> int:
    """Take up a trade at our price against our side; return how many of its lots reach us."""
    reached_lots = 0.0
    left_lots = qty_lots
    if time_ns <= place.shown_ns:
        for index in range(place.count):
            decrease = place.decreases[index]
            lots = min(left_lots, decrease.shown_lots - decrease.now_lots - decrease.traded_lots)
            if lots > 0 and decrease.time_ns >= time_ns:
                left_lots -= lots
                reached_lots += take_late(queue, place, decrease, lots)
    else:
        place.traded_lots += left_lots
        place.traded_ns = max(place.traded_ns, time_ns)
    place.front_lots -= left_lots
    if place.front_lots < 0.0:
        reached_lots -= place.front_lots
        place.front_lots = 0.0
    return min(qty_lots, math.floor(reached_lots))


@compiled
def take_late(queue: Queue, place: QueuePlace, decrease: Decrease, lots: int) -> float:
    """Explain `lots` of a decrease by a trade that is told now; return how many of them reach us."""
    before_lots = max(0.0, decrease.late_lots - decrease.front_lots)
    decrease.late_lots += lots
    decrease.traded_lots += lots
    front_lots = decrease.front_lots - decrease.late_lots
    left_lots = front_after(
        queue,
        max(0.0, front_lots),
        decrease.shown_lots,
        decrease.now_lots,
        decrease.traded_lots,
        place.contracts_per_lot,
    )
    place.front_lots = max(0.0, place.front_lots + left_lots - decrease.left_lots)
    decrease.left_lots = left_lots
    return max(0.0, -front_lots) - before_lots


@compiled
def front_after(
    queue: Queue, front_lots: float, shown_lots: int, now_lots: int, traded_lots: int, contracts_per_lot: float
) -> float:
    """Find what is ahead of us after a level has changed; `front_lots` has been served `traded_lots` already."""
    cancelled_lots = shown_lots - now_lots - traded_lots
    if cancelled_lots > 0 and queue.model != QueueModel.RISK_AVERSE:
        back_lots = max(0.0, shown_lots - front_lots)
        share = share_behind(queue, front_lots * contracts_per_lot, back_lots * contracts_per_lot)
        front_lots += min(0.0, back_lots - share * cancelled_lots) - (1.0 - share) * cancelled_lots
    return max(0.0, min(front_lots, float(now_lots)))


@compiled
def share_behind(queue: Queue, front: float, back: float) -> float:
    """Find the share of the cancels that is taken to be behind us; sizes in contracts, one of them above 0."""
    model, power = queue.model, queue.power
    if model == QueueModel.LOG:
        return math.log1p(back) / (math.log1p(back) + math.log1p(front))
    if model == QueueModel.LOG_2:
        return math.log1p(back) / math.log1p(back + front)
    if model == QueueModel.POWER_3:
        return 1.0 - math.pow(front / (front + back), power)
    if model == QueueModel.POWER_2:
        return math.pow(back / (back + front), power)
    # The same as b**n / (b**n + f**n), but it neither overflows nor is 0 / 0.
    if back >= front:
        return 1.0 / (1.0 + math.pow(front / back, power))
    ratio = math.pow(back / front, power)
    return ratio / (1.0 + ratio)
