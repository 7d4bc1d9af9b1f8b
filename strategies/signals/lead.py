"""How far a leading venue has moved since the following one last changed: what a stale quote has not yet heard.

It does not estimate who leads, nor by how long: that is the author's to know, for example from `crosswire latency` and
recorded data. F. de Jong and T. Nijman, High frequency analysis of lead-lag relationships between financial markets,
Journal of Empirical Finance 4 (1997), is one way to measure it.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.signals.microprice import has_both_sides
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import divide_e9


class Lead(Struct):
    """The leader's price when the follower's best prices last changed."""

    both_ticks: i64  # the leader's bid + ask then; 0: not known
    bid_ticks: i64  # the follower's
    ask_ticks: i64


@compiled
def see_follower(lead: Lead, leader: Book, follower: Book) -> None:
    """Take in the follower's book: begin anew if its best prices changed, forget all if it is not proven."""
    if not has_both_sides(follower):
        lead.both_ticks = 0
        return
    if lead.both_ticks != 0 and follower.bid_ticks == lead.bid_ticks and follower.ask_ticks == lead.ask_ticks:
        return
    lead.bid_ticks = follower.bid_ticks
    lead.ask_ticks = follower.ask_ticks
    lead.both_ticks = leader.bid_ticks + leader.ask_ticks if has_both_sides(leader) else 0


@compiled
def lead_e9(lead: Lead, leader: Book) -> int:
    """Return the move of the leader's middle since then, 1e-9 of it; 0 if either is not known."""
    if lead.both_ticks == 0 or not has_both_sides(leader):
        return 0
    return divide_e9(leader.bid_ticks + leader.ask_ticks - lead.both_ticks, lead.both_ticks)
