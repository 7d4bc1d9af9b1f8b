"""One post-only order kept at a price: sent, moved once the price has moved enough, taken back; never two at once.

    class Mine(Strategy):
        bid: KeptOrder                                  # build: set_kept_order(strategy.bid, instrument, BUY, tag=1)

    on_book:   keep_order(strategy.bid, desk, price_ticks, qty_lots)      # as often as you like; 0 lots: none is wanted
    on_fill:   kept_order_filled(strategy.bid, order)
    on_order:  kept_order_changed(strategy.bid, desk, order)

Between a request and its answer only what is wanted is noted; the answer brings it about. A refusal is not tried again
before `keep_order` is called again, so that nothing is asked for in a circle. Where the venue amends nothing the order
is cancelled, and sent anew once it has ended.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.gate import Veto
from crosswire.strategies.desk import Desk, amend, cancel, submit
from crosswire.venues.order import POST_ONLY, AmendState, Order, OrderState

NONE = 0  # no order is out
ASKED = 1  # one is, without an answer
RESTING = 2
AMENDING = 3
CANCELLING = 4


class KeptOrder(Struct):
    """The order, and what is wanted of it. Numbers of an order that is out are the venue's last."""

    instrument: i64
    side: i64
    tag: i64  # its orders': no other order of the strategy has it
    step_ticks: i64  # how far the wanted price is away before the order is moved
    wanted_ticks: i64
    wanted_lots: i64  # to be open; 0: none
    state: i64  # NONE, ASKED, ...
    client_order_id: i64
    price_ticks: i64
    qty_lots: i64  # with what is filled
    filled_lots: i64
    amends_nothing: i64  # 1: the venue has no amends
    refusals: i64  # vetoes and rejects, of orders and amends


def set_kept_order(kept: KeptOrder, instrument: int, side: int, tag: int, step_ticks: int = 1) -> None:
    """Set up what is kept, in `build`. ValueError: `tag`, or `step_ticks`, is below 1."""
    for name, value in (("tag", tag), ("step_ticks", step_ticks)):
        if value < 1:
            raise ValueError(f"{name} = {value}: must be 1 or more")
    kept.instrument, kept.side, kept.tag, kept.step_ticks = instrument, side, tag, step_ticks


@compiled
def keep_order(kept: KeptOrder, desk: Desk, price_ticks: int, qty_lots: int) -> None:
    """Have one post-only order of `qty_lots` open at about this price.

    An order that is out is moved if its price is `step_ticks` or more away, or if more of it is open than wanted. One
    that is partly filled keeps its place in the queue until then.
    """
    kept.wanted_ticks = price_ticks
    kept.wanted_lots = max(0, qty_lots)
    pursue_order(kept, desk)


@compiled
def pursue_order(kept: KeptOrder, desk: Desk) -> None:
    """Ask for what brings the order nearer to what is wanted, unless something is under way."""
    if kept.state == NONE:
        if kept.wanted_lots > 0 and submit(
            desk, kept.instrument, kept.side, kept.wanted_ticks, kept.wanted_lots, POST_ONLY, tag=kept.tag
        ):
            kept.state = ASKED
    elif kept.state == RESTING and is_off(kept):
        if kept.wanted_lots == 0 or kept.amends_nothing != 0:
            if cancel(desk, kept.client_order_id):
                kept.state = CANCELLING
        elif amend(desk, kept.client_order_id, kept.wanted_ticks, kept.filled_lots + kept.wanted_lots):
            kept.state = AMENDING


@compiled
def is_off(kept: KeptOrder) -> bool:
    """Tell whether a resting order is to be moved or taken back."""
    is_away = abs(kept.wanted_ticks - kept.price_ticks) >= kept.step_ticks
    return kept.wanted_lots == 0 or is_away or kept.qty_lots - kept.filled_lots > kept.wanted_lots


@compiled
def is_kept(kept: KeptOrder, order: Order) -> bool:
    """Tell whether an order is this one."""
    return order.tag == kept.tag and order.instrument == kept.instrument and order.side == kept.side


@compiled
def kept_order_filled(kept: KeptOrder, order: Order) -> None:
    """Take a fill of whichever order: what of this one is filled already is no longer open."""
    if is_kept(kept, order):
        kept.filled_lots = order.filled_lots


@compiled
def kept_order_changed(kept: KeptOrder, desk: Desk, order: Order) -> None:
    """Take what became of whichever order, and go on with what was wanted meanwhile."""
    if not is_kept(kept, order):
        return
    kept.client_order_id = order.client_order_id
    kept.price_ticks = order.price_ticks
    kept.qty_lots = order.qty_lots
    kept.filled_lots = order.filled_lots
    if order.state > OrderState.PENDING_CANCEL:
        was_taken_back = kept.state == CANCELLING
        kept.state = NONE
        if order.state == OrderState.REJECTED or order.state == OrderState.VETOED:
            kept.refusals += 1
        elif was_taken_back:
            pursue_order(kept, desk)
    elif kept.state == AMENDING and order.amend_state >= AmendState.REJECTED:
        kept.state = RESTING
        kept.refusals += 1
        if order.amend_state == AmendState.VETOED and order.amend_reason == Veto.UNSUPPORTED:
            kept.amends_nothing = 1
            pursue_order(kept, desk)
    elif order.state == OrderState.LIVE and order.amend_state != AmendState.PENDING:
        # Answered; or a cancel was refused, and is asked for again when it is wanted again.
        was_refused = kept.state == CANCELLING
        kept.state = RESTING
        if not was_refused:
            pursue_order(kept, desk)
