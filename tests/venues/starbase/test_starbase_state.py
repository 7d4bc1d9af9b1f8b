"""What a Starbase session makes of its two links: its state, where orders go, and whose word on an order counts."""

from collections.abc import Iterator
from itertools import product

import pytest

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.raw import hash_bits
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.order import ORDERS_BITS, STRANGE_INSTRUMENT
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import (
    ENDED_BITS,
    SENT_MAX,
    Refusal,
    StarbaseLink,
    StarbaseSession,
    is_end_of_other_link,
    is_of_other_link,
    is_order,
    is_sent,
    is_waiting_for_terms,
    join_states,
    link_of_order,
    lose_link,
    market_index,
    note_links,
    note_number,
    ready_link,
    remember_frame,
    remember_order,
    sent_frame,
    sent_order,
)
from crosswire.venues.starbase.wire.order_codes import WireRejectReason
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval, make_market
from tests.support.starbase_order_setup import CLIENT_ID, SECRET, flow_of

pytestmark = pytest.mark.starbase
NOW_NS = 1_700_000_000_000_000_000
CLOSED, LOGGING_ON, READY, LOST = SessionState.CLOSED, SessionState.LOGGING_ON, SessionState.READY, SessionState.LOST


def make_session(links: int = 2, instruments: int = 2) -> StarbaseSession:
    flows = tuple(flow_of(stream) for stream in range(links))
    return make_starbase_session(VENUE, make_market(count=instruments), flows, CLIENT_ID, SECRET)


@pytest.fixture
def session() -> StarbaseSession:
    return make_session()


# Of a link: its state, whether it is refused, whether it goes on from an earlier process.
Link = tuple[SessionState, bool, int]
LINKS: list[Link] = list(product((CLOSED, LOGGING_ON, READY, LOST), (False, True), (0, 1)))


def state_of(links: tuple[Link, ...], ended: int, is_resumed: int, awaits_account: int) -> SessionState:
    """The rule, in words: after our goodbye nothing comes; what was missed must be known before anything is sent."""
    if ended:
        return SessionState.ENDED
    if any(state == READY for state, _, _ in links) and not is_resumed and not awaits_account:
        return READY
    if any(resumed and refused for _, refused, resumed in links):
        return LOST  # what is missing there is never told
    may_come = is_resumed or any(state != LOST for state, _, _ in links)
    return LOGGING_ON if may_come else LOST


def set_links(session: StarbaseSession, links: tuple[Link, ...]) -> None:
    for link, (state, refused, resumed) in zip(session.links, links, strict=False):
        link.state, link.is_resumed = state, resumed
        link.refusal = Refusal.NUMBERS_LOST if refused else Refusal.NONE


@pytest.mark.parametrize("count", [1, 2])
def test_the_sessions_state_is_made_of_its_links(session: StarbaseSession, count: int) -> None:
    """What stands in the second link's place is nothing to a session with one."""
    session.link_count = count
    for links in product(LINKS, LINKS):
        set_links(session, links)
        for flags in product((0, 1), (0, 1), (0, 1)):
            session.ended, session.is_resumed, session.awaits_account = flags
            join_states(session)
            assert session.state == state_of(links[:count], *flags), (links[:count], flags)


@pytest.mark.parametrize(
    ("states", "first", "quoting"),
    [
        ((READY, READY), 0, (0, 1)),
        ((READY, LOST), 0, (0, 0)),
        ((LOST, READY), 1, (1, 1)),
        ((LOGGING_ON, READY), 1, (1, 1)),
        ((LOST, CLOSED), -1, (-1, -1)),
    ],
)
def test_orders_go_to_the_first_link_and_quotes_stay_where_they_are(
    session: StarbaseSession, states: tuple[SessionState, SessionState], first: int, quoting: tuple[int, int]
) -> None:
    for link, state in zip(session.links, states, strict=False):
        link.state = state
    assert ready_link(session) == first
    for quote_link in range(2):
        session.quote_link = quote_link
        note_links(session)
        assert (session.order_link, session.quoting_link) == (first, quoting[quote_link])


def test_a_session_with_one_link_has_no_second() -> None:
    session = make_session(links=1)
    session.links[1].state = READY
    session.links[1].stream.send_sequence = 8
    note_links(session)
    assert (ready_link(session), session.order_link) == (-1, -1)
    assert list(session.numbers) == [0, 0, 0, 0]


def test_the_numbers_are_each_links_own(session: StarbaseSession) -> None:
    for number in range(2):
        stream = session.links[number].stream
        stream.send_sequence, stream.receive_sequence = 10 * number + 5, 10 * number + 7
    note_links(session)
    assert list(session.numbers) == [5, 7, 15, 17]


def test_links_are_gone_that_took_orders_and_were_refused(session: StarbaseSession) -> None:
    links = session.links
    for logons, refusal, logging_out in product((0, 1, 2), Refusal, (0, 1)):
        session.links_gone = 0
        links[1].logons, links[1].refusal, links[1].logging_out = logons, refusal, logging_out
        note_links(session)
        assert session.links_gone == int(logons > 0 and refusal != Refusal.NONE and not logging_out)
    for link in links:
        link.logons, link.refusal, link.logging_out = 1, Refusal.LOGGED_OUT, 0
    note_links(session)
    assert session.links_gone == 2
    links[0].logging_out = links[1].logging_out = 1
    note_links(session)
    assert session.links_gone == 2  # none returns


def test_only_what_missed_something_waits_for_definitions(session: StarbaseSession) -> None:
    market = session.market[0]
    for is_resumed, venue_id in product((0, 1), (-1, FIRST_VENUE_ID)):
        session.is_resumed = is_resumed
        market.instruments[1].venue_id = venue_id
        assert is_waiting_for_terms(session) == (is_resumed == 1 and venue_id == -1)


OF_A_CONNECTION = (
    "confirmed", "resend_due", "answers_due", "gap_fill_from", "test_requested", "mass_cancelled",
)  # fmt: skip


def busy_link(session: StarbaseSession, state: SessionState = READY) -> StarbaseLink:
    link = session.links[1]
    for name in OF_A_CONNECTION:
        setattr(link, name, 7)
    link.state, link.losses, link.stream.ended = state, 3, 0
    link.reconnect_ns, link.backoff_ns = 5, 4 * NS_PER_S
    session.keep_due = 0
    return link


def refusals() -> Iterator[tuple[Refusal, int, Refusal]]:
    for given in Refusal:
        yield given, 0, given
        yield given, 1, Refusal.LOGGED_OUT if given == Refusal.NONE else given


@pytest.mark.parametrize(("given", "logging_out", "refusal"), list(refusals()))
def test_a_link_that_is_lost_forgets_its_connection_and_comes_back_unless_refused(
    session: StarbaseSession, given: Refusal, logging_out: int, refusal: Refusal
) -> None:
    link = busy_link(session)
    link.logging_out = logging_out
    lose_link(session, link, given, NOW_NS)
    assert (link.state, link.losses, link.stream.ended, link.refusal) == (LOST, 4, 1, refusal)
    assert [getattr(link, name) for name in OF_A_CONNECTION] == [0] * len(OF_A_CONNECTION)
    assert session.keep_due == 1
    assert link.reconnect_ns == (NOW_NS + 4 * NS_PER_S if refusal == Refusal.NONE else NEVER_NS)
    assert link.backoff_ns == 8 * NS_PER_S
    # Once: what is lost is not lost again.
    session.keep_due = 0
    lose_link(session, link, Refusal.BAD_FRAME, NOW_NS + 1)
    assert (link.losses, link.refusal, link.backoff_ns, session.keep_due) == (4, refusal, 8 * NS_PER_S, 0)


def test_the_backoff_rises_to_its_most(session: StarbaseSession) -> None:
    link = busy_link(session)
    seen = []
    for _ in range(5):
        link.state = READY
        lose_link(session, link, Refusal.NONE, NOW_NS)
        seen.append(link.reconnect_ns - NOW_NS)
    assert seen == [4 * NS_PER_S, 8 * NS_PER_S, 16 * NS_PER_S, 30 * NS_PER_S, 30 * NS_PER_S]


def test_a_frame_that_went_out_is_counted_and_its_number_noted(session: StarbaseSession) -> None:
    for number, sequence in ((0, 41), (1, 52), (1, 53)):
        session.links[number].stream.send_sequence = sequence
        sent_frame(session, session.links[number], NOW_NS + sequence)
        assert session.last_sent_ns == session.links[number].last_sent_ns == NOW_NS + sequence
    assert (session.frames_sent, list(session.numbers)) == (3, [41, 0, 53, 0])
    assert session.links[0].last_sent_ns == NOW_NS + 41


def test_as_many_frames_are_remembered_as_there_is_room_for(session: StarbaseSession) -> None:
    link = session.links[0]
    for sequence in range(1, SENT_MAX + 3):
        link.stream.send_sequence = sequence
        remember_frame(link, 5 + sequence % 3, 1000 + sequence)
    kept = {link.sent[place].sequence: link.sent[place] for place in range(SENT_MAX)}
    assert sorted(kept) == list(range(3, SENT_MAX + 3))
    for sequence, sent in kept.items():
        assert (sent.template_id, sent.client_order_id) == (5 + sequence % 3, 1000 + sequence)


def order_id(turn: int, place: int) -> int:
    return turn << ORDERS_BITS | place


def remember(session: StarbaseSession, number: int, link: int, side: int = BUY, instrument: int = 0) -> None:
    remember_order(session, make_approval(number, side, 0, 100, 1, instrument), link)


def test_an_order_is_known_by_all_of_its_number_until_another_takes_its_place(session: StarbaseSession) -> None:
    first, second, other = order_id(1, 5), order_id(2, 5), order_id(1, 6)
    assert not is_sent(session, 0)
    remember(session, first, 1, SELL, 1)
    note_number(session, first, 901)
    order = sent_order(session, first)
    fields = (order.client_order_id, order.exchange_order_id, order.link, order.instrument, order.side)
    assert fields == (first, 901, 1, 1, SELL)
    assert [is_sent(session, number) for number in (first, second, other, 0)] == [True, False, False, False]
    note_number(session, second, 902)  # not ours, or not yet
    assert sent_order(session, first).exchange_order_id == 901
    remember(session, second, 0)
    assert sent_order(session, second).exchange_order_id == 0
    assert [is_sent(session, number) for number in (first, second)] == [False, True]


def test_an_order_is_ours_by_both_numbers_once_both_are_known(session: StarbaseSession) -> None:
    ours, stranger = order_id(1, 5), order_id(2, 5)
    remember(session, ours, 0)
    assert is_order(session, ours, 901)
    note_number(session, ours, 901)
    assert is_order(session, ours, 901)
    assert not is_order(session, ours, 902)
    assert not is_order(session, stranger, 901)
    assert not is_order(session, 0, 0)


def test_an_order_goes_on_where_it_began_and_nowhere_else(session: StarbaseSession) -> None:
    for number in range(2):
        remember(session, order_id(1, 5 + number), number)
    session.links[0].state = session.links[1].state = READY
    assert [link_of_order(session, order_id(1, place)) for place in (5, 6)] == [0, 1]
    assert session.unlinked == 0
    session.links[1].state = LOGGING_ON
    assert link_of_order(session, order_id(1, 6)) == -1
    assert link_of_order(session, order_id(2, 5)) == -1  # never sent
    assert session.unlinked == 2
    assert link_of_order(session, order_id(1, 5)) == 0


def test_of_an_order_its_own_gateways_word_counts(session: StarbaseSession) -> None:
    for number in range(2):
        remember(session, order_id(1, 5 + number), number)
    told = [
        is_of_other_link(session, session.links[link], order_id(1, 5 + number))
        for link, number in product(range(2), range(2))
    ]
    assert told == [False, True, True, False]
    assert session.told_elsewhere == 2


def test_the_end_of_an_order_is_told_once_by_whichever_gateway_is_first(session: StarbaseSession) -> None:
    links = session.links
    assert not is_end_of_other_link(session, links[1], 901)
    assert is_end_of_other_link(session, links[0], 901)
    assert is_end_of_other_link(session, links[0], 901)  # as often as it comes
    assert not is_end_of_other_link(session, links[1], 901)
    assert session.told_elsewhere == 2
    shared = next(n for n in range(902, 1 << 20) if hash_bits(n, ENDED_BITS) == hash_bits(901, ENDED_BITS))
    assert not is_end_of_other_link(session, links[0], shared)
    assert is_end_of_other_link(session, links[1], shared)
    assert not is_end_of_other_link(session, links[0], 901)  # forgotten for the later one
    assert session.told_elsewhere == 3


def test_an_instrument_is_found_by_its_number_and_a_strange_one_is_none(session: StarbaseSession) -> None:
    session.market[0].instruments[1].venue_id = 0
    assert [market_index(session, number) for number in (FIRST_VENUE_ID, 0, FIRST_VENUE_ID)] == [0, 1, 0]
    assert [market_index(session, number) for number in (FIRST_VENUE_ID + 1, -1)] == [STRANGE_INSTRUMENT] * 2


def test_every_reason_of_a_reject_has_a_counter(session: StarbaseSession) -> None:
    assert [session.links[0].rejects[reason] for reason in (0, *WireRejectReason)] == [0] * (len(WireRejectReason) + 1)
    assert max(WireRejectReason) < len(session.links[0].rejects)
