"""What a feed had to leave out, round or guess, as warnings: the same for `inspect` and for every run."""

from collections.abc import Iterator, Sequence

from crosswire.engine.report.text import time_text
from crosswire.nic.warning import DataWarning
from crosswire.venues.feed import COSTS, Cost, Feed, Reject
from crosswire.venues.instrument import text_of
from crosswire.venues.market import Market

KINDS = {
    Reject.SHORT_PACKET: "packets without room for their header",
    Reject.LENGTH_MISMATCH: "packets of another length than they say",
    Reject.SHORT_MESSAGE: "messages without room for their header",
    Reject.UNKNOWN_SCHEMA: "messages of an unknown schema",
    Reject.UNKNOWN_TEMPLATE: "messages of an unknown template",
    Reject.SHORT_BLOCK: "messages that lack fields",
    Reject.BLOCK_OVERRUN: "messages that end past their packet",
    Reject.GROUP_OVERRUN: "groups that end past their packet or can't be told apart",
    Reject.SHORT_ENTRY: "groups whose entries lack fields",
    Reject.TEXT_OVERRUN: "texts that end past their packet",
    Reject.BAD_VALUE: "values that the venue can't mean",
    Reject.UNKNOWN_CHANNEL: "packets of more channels than there is room for",
    Reject.BOOK_FULL: "books lost because their best price has no place in the table",
}
ADVICE = {
    Cost.NOTHING: "they were stepped over; see whether the venue has published a newer layout",
    Cost.BOOK: "each one about a book cost that book until it was proven again; check the tick, or how it was captured",
    Cost.CHANNEL: "each cost all books of its channel until they were proven again; check how it was captured",
    Cost.PACKET: "these packets were not read; check that the capture holds this venue's feed and nothing else",
}
MISMATCHES = "definitions that contradict the configuration"
NEVER_DEFINED = "instruments that the feed never defined"


def feed_warnings(feed: Feed, market: Market, venue: str = "") -> list[DataWarning]:
    """List what makes this feed's books and events less than the whole truth; `venue`: its name, where there are more.

    An instrument that nobody configured is no reason.
    """
    where = f"venue {venue}, " if venue else ""
    return [
        *_reject_warnings(feed, where),
        *_book_warnings(feed, market, where),
        *(mismatch_warnings(feed, market, venue) if venue else ()),
    ]


def mismatch_warnings(feed: Feed, market: Market, venue: str) -> Iterator[DataWarning]:
    """Say which definitions a run's feed has contradicting its configuration, or none at all."""
    if feed.definition_mismatches != 0:
        done = "the configuration was believed" if feed.ignores_definitions else "nothing was traded in them"
        yield DataWarning(
            kind=MISMATCHES,
            count=feed.definition_mismatches,
            first_place=f"venue {venue}, {_moment(feed.first_mismatch_ns)}",
            what_to_do=f"{done}; correct it: crosswire inspect --instruments prints what the wire says",
        )
    missing = [market.instruments[index] for index in _own(feed, market) if market.instruments[index].venue_id < 0]
    if missing and feed.packets != 0 and feed.definition_mismatches == 0:
        yield DataWarning(
            kind=NEVER_DEFINED,
            count=len(missing),
            first_place=f"venue {venue}, {text_of(missing[0].symbol)}",
            what_to_do="nothing was traded in them; correct the symbol, or begin where it is defined",
        )


def without_told(warnings: list[DataWarning], contradicted: list[DataWarning]) -> list[DataWarning]:
    """Leave out what feeds say of definitions where it was told before the run, term by term, as `contradicted`."""
    told = [each.first_place for each in contradicted]
    venues = {place.partition(",")[0] for place in told}
    return [
        each
        for each in warnings
        if not (each.kind == MISMATCHES and each.first_place.partition(",")[0] in venues)
        and not (each.kind == NEVER_DEFINED and any(place.startswith(f"{each.first_place}:") for place in told))
    ]


def _reject_warnings(feed: Feed, where: str) -> Iterator[DataWarning]:
    for reason, kind in KINDS.items():
        if feed.rejects[reason] != 0:
            yield DataWarning(
                kind=kind,
                count=feed.rejects[reason],
                first_place=f"{where}{_moment(feed.first_rejects_ns[reason])}",
                what_to_do=ADVICE[max(COSTS[reason])],
            )


def _book_warnings(feed: Feed, market: Market, where: str) -> Iterator[DataWarning]:
    if feed.sizes_rounded != 0:
        yield DataWarning(
            kind="sizes that are no whole number of lots",
            count=feed.sizes_rounded,
            first_place=f"{where}{_moment(feed.first_rounded_ns)}",
            what_to_do="they were rounded down; if they are many, correct the lot",
        )
    if feed.restart_losses != 0:
        yield DataWarning(
            kind="books lost where a feed began to count anew",
            count=feed.restart_losses,
            first_place=f"{where}{_moment(feed.first_restart_loss_ns)}",
            what_to_do="begin each day's capture with a snapshot, or run the days one by one",
        )
    cut = [market.instruments[index] for index in _own(feed, market) if market.books[index].pages.levels_let_go != 0]
    if cut:
        yield DataWarning(
            kind="levels let go by books that were full",
            count=levels_let_go(feed, market),
            first_place=f"{where}{text_of(cut[0].symbol)}",
            what_to_do="raise levels_max; until then the depth far from the market is not known",
        )


def levels_let_go(feed: Feed, market: Market) -> int:
    """Count the levels that the books of this feed had no room for."""
    return sum(market.books[index].pages.levels_let_go for index in _own(feed, market))


def _own(feed: Feed, market: Market) -> Sequence[int]:
    return [index for index in range(market.count) if market.instruments[index].venue == feed.venue]


def _moment(time_ns: int) -> str:
    return time_text(time_ns) if time_ns > 0 else "an unknown time"
