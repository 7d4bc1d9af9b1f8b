"""The simulated Starbase's matching against a plain-Python engine, by random requests of two members."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.starbase_exchange_client import FIRST_ID, MS, TICK_E9, Wire, make_exchange, rebuilt_books
from tests.support.starbase_exchange_reference import Reference, told

pytestmark = pytest.mark.starbase

BUMP_MS = 3
members = st.integers(1, 2)
prices = st.integers(996, 1004)
lots = st.integers(1, 9)
cids = st.integers(1, 12)
news = st.tuples(
    st.just("new"), members, cids, st.sampled_from((1, -1)), prices, lots, st.sampled_from((0, 0, 0, -1, -2, 3)),
    st.sampled_from((0, 0, 0, 0, 2, 4, 8)), st.sampled_from((0, 0, 7, 9)), st.integers(0, 1),
)  # fmt: skip
amends = st.tuples(st.just("amend"), members, cids, prices, lots, st.sampled_from((0, 0, 2, 4)))
cancels = st.tuples(st.just("cancel"), members, cids)
waits = st.tuples(st.just("wait"), st.integers(0, 2 * BUMP_MS))
requests = st.lists(st.one_of(news, news, news, amends, cancels, waits), max_size=60)


def random_steps(seed: int, count: int) -> list[tuple[Any, ...]]:
    """Long enough for deep books, and for whatever is rare."""
    random = Random(seed)
    steps: list[tuple[Any, ...]] = []
    for _ in range(count):
        kind = random.choice(("new", "new", "new", "new", "amend", "cancel", "wait"))
        member, cid = random.randint(1, 2), random.randint(1, 40)
        price, quantity = random.randint(995, 1005), random.randint(1, 9)
        if kind == "new":
            tif, flags = random.choice((0, 0, 0, -1, -2, 3)), random.choice((0, 0, 0, 0, 2, 4, 8))
            smp = random.choice((0, 7, 7, 9))
            side, mode = random.choice((1, -1)), random.randint(0, 1)
            if tif == -1:
                quantity += random.randint(0, 30)
            steps.append((kind, member, cid, side, price, quantity, tif, flags, smp, mode))
        elif kind == "amend":
            steps.append((kind, member, cid, price, quantity, random.choice((0, 0, 2, 4))))
        else:
            steps.append((kind, member, cid) if kind == "cancel" else (kind, random.randint(0, BUMP_MS)))
    return steps


def play(bump_ms: int, steps: list[tuple[Any, ...]], held_max: int = 20, sorts_on_accept: bool = False) -> None:
    exchange = make_exchange(
        speed_bump_ns=bump_ms * MS,
        held_member_max=held_max,
        sorts_on_accept=sorts_on_accept,
        order_latency_ns=0,
        response_latency_ns=0,
        feed_latency_ns=0,
        tokens_per_ms=1_000_000,
    )
    wire, model = Wire(exchange), Reference(bump_ms, held_max, sorts_on_accept)
    clients = {1: wire.ready(), 2: wire.ready(1, key=1)}
    for step in steps:
        kind, *values = step
        if kind == "wait":
            wire.run(values[0] * MS)
            model.wait(*values)
            continue
        client = clients[values[0]]
        if kind == "new":
            _, cid, side, price, quantity, tif, flags, smp, mode = values
            client.new(cid, side, None if flags == 8 else price, quantity, tif=tif, flags=flags, smp=smp, mode=mode)
            model.new(*values)
        elif kind == "amend":
            client.amend(*values[1:4], flags=values[4])
            model.amend(*values)
        else:
            client.cancel(values[1])
            model.cancel(*values)
        wire.run(0)
    wire.run(10 * BUMP_MS * MS)
    model.wait(10 * BUMP_MS)
    for member, client in clients.items():
        assert [said for message in client.inbox for said in told(message)] == model.said[member]
        assert exchange.matching.members[member].position_lots[0] == model.position[member]
        assert exchange.matching.members[member].open_orders == sum(o.member == member for o in model.orders)
        assert exchange.matching.members[member].held_orders == 0
    published = rebuilt_books(wire.incremental()).get(FIRST_ID, {0: [], 1: []})
    as_published = {side: [(price // TICK_E9, lots) for price, lots, _ in orders] for side, orders in published.items()}
    assert as_published == model.book()
    assert sum(exchange.gateways.mistakes) == 0


@pytest.mark.parametrize("sorts_on_accept", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_long_runs_match_as_the_reference(seed: int, sorts_on_accept: bool) -> None:
    play((0, BUMP_MS)[seed % 2], random_steps(seed, 400), (20, 3)[seed // 2 % 2], sorts_on_accept)


@given(requests)
@settings(max_examples=40)
def test_matches_as_the_reference_without_speed_bump(steps: list[tuple[Any, ...]]) -> None:
    play(0, steps)


@given(requests, st.sampled_from((2, 20)), st.booleans())
@settings(max_examples=40)
def test_matches_as_the_reference_with_speed_bump(
    steps: list[tuple[Any, ...]], held_max: int, sorts_on_accept: bool
) -> None:
    play(BUMP_MS, steps, held_max, sorts_on_accept)
