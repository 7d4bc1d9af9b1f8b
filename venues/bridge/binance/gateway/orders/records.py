"""What happens to an account, one record each: what the gateway's journal holds, and what the engine is told.

Prices are ticks and sizes lots of the instrument, whose id is the one of the feed's definition. Times are the venue's,
in ns since the epoch, but for `Asked.time_ns`, which is the gateway's.
"""

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """`client_order_id` is the engine's; 0: none of its orders."""

    client_order_id: int
    instrument_id: int
    side: int
    time_ns: int


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun", kw_only=True):
    """The journal's first record. The venue's ids of the account's orders are made of its time, so no two journals
    give two orders one id."""

    time_ns: int


class Asked(Record, frozen=True, tag="asked"):
    """The engine wants an order. It is in the journal before anything of it leaves."""

    time_in_force: int
    price_ticks: int
    qty_lots: int


class AmendAsked(Record, frozen=True, tag="amend asked"):
    """The engine wants other terms of an open order. It is in the journal before anything of it leaves."""

    price_ticks: int
    qty_lots: int  # what is filled included


class Amended(Record, frozen=True, tag="amended"):
    """The order has the terms that were asked for."""

    venue_order_id: int
    price_ticks: int
    qty_lots: int


class AmendRefused(Record, frozen=True, tag="amend refused"):
    """The order has not the terms that were asked for, and will not."""

    reason: int  # venues.order.RejectReason


class Acknowledged(Record, frozen=True, tag="acknowledged"):
    """The venue has the order."""

    venue_order_id: int


class Refused(Record, frozen=True, tag="refused"):
    """The venue does not have the order, and will not."""

    reason: int  # venues.order.RejectReason


class Filled(Record, frozen=True, tag="filled"):
    """One trade, told once: `execution_id` counts up by one over the life of the account's journal."""

    execution_id: int
    venue_order_id: int
    trade_id: int  # of the venue, unique within an instrument
    price_ticks: int
    qty_lots: int
    leaves_lots: int  # of the order behind this trade; 0 where it is of no order
    fee_e9: int  # of the settlement currency; positive is paid
    is_maker: bool


class Ended(Record, frozen=True, tag="ended"):
    """The order lives no longer: filled, cancelled or expired. `leaves_lots` were never filled."""

    venue_order_id: int
    leaves_lots: int
    reason: int  # venues.order.RejectReason


class Checked(msgspec.Struct, frozen=True, array_like=True, tag="checked", kw_only=True):
    """All trades of an instrument up to this one are known: the venue has listed them."""

    instrument_id: int
    trade_id: int


Told = Acknowledged | Refused | Filled | Amended | AmendRefused | Ended  # what an engine is told
AnyRecord = Begun | Asked | AmendAsked | Checked | Told
