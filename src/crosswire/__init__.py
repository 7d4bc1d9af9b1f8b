"""Crosswire: a cross-exchange arbitrage engine for crypto derivatives, one compiled loop from wire to wire.

What a strategy is written with is imported from here:

    from crosswire import BUY, Desk, Strategy, i64, on_book, submit

Each name is looked up when it is first asked for, so that importing a part of Crosswire imports no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosswire.nic.memory.struct import Array as Array
    from crosswire.nic.memory.struct import Pointer as Pointer
    from crosswire.nic.memory.struct import Struct as Struct
    from crosswire.nic.memory.struct import f64 as f64
    from crosswire.nic.memory.struct import i8 as i8
    from crosswire.nic.memory.struct import i16 as i16
    from crosswire.nic.memory.struct import i32 as i32
    from crosswire.nic.memory.struct import i64 as i64
    from crosswire.nic.memory.struct import u8 as u8
    from crosswire.nic.memory.struct import u16 as u16
    from crosswire.nic.memory.struct import u32 as u32
    from crosswire.nic.memory.struct import u64 as u64
    from crosswire.nic.rings.ring import NEVER_NS as NEVER_NS
    from crosswire.nic.unit.compile import compiled as compiled
    from crosswire.risk.position import Position as Position
    from crosswire.strategies.desk import Desk as Desk
    from crosswire.strategies.desk import amend as amend
    from crosswire.strategies.desk import cancel as cancel
    from crosswire.strategies.desk import cancel_all as cancel_all
    from crosswire.strategies.desk import cancel_all_of as cancel_all_of
    from crosswire.strategies.desk import cancel_by_id as cancel_by_id
    from crosswire.strategies.desk import log as log
    from crosswire.strategies.desk import new_opportunity as new_opportunity
    from crosswire.strategies.desk import new_trade as new_trade
    from crosswire.strategies.desk import next_trade_id as next_trade_id
    from crosswire.strategies.desk import quote as quote
    from crosswire.strategies.desk import record_opportunity as record_opportunity
    from crosswire.strategies.desk import record_trade as record_trade
    from crosswire.strategies.desk import record_value as record_value
    from crosswire.strategies.desk import set_timer as set_timer
    from crosswire.strategies.desk import stop_timer as stop_timer
    from crosswire.strategies.desk import submit as submit
    from crosswire.strategies.desk import wake_at as wake_at
    from crosswire.strategies.interface import BuildContext as BuildContext
    from crosswire.strategies.interface import Strategy as Strategy
    from crosswire.strategies.interface import catch_up as catch_up
    from crosswire.strategies.interface import on_book as on_book
    from crosswire.strategies.interface import on_book_lost as on_book_lost
    from crosswire.strategies.interface import on_fill as on_fill
    from crosswire.strategies.interface import on_finish as on_finish
    from crosswire.strategies.interface import on_flattened as on_flattened
    from crosswire.strategies.interface import on_named_timer as on_named_timer
    from crosswire.strategies.interface import on_order as on_order
    from crosswire.strategies.interface import on_parameters as on_parameters
    from crosswire.strategies.interface import on_timer as on_timer
    from crosswire.strategies.interface import on_trade as on_trade
    from crosswire.strategies.keeping import KeptOrder as KeptOrder
    from crosswire.strategies.keeping import keep_order as keep_order
    from crosswire.strategies.keeping import kept_order_changed as kept_order_changed
    from crosswire.strategies.keeping import kept_order_filled as kept_order_filled
    from crosswire.strategies.keeping import set_kept_order as set_kept_order
    from crosswire.strategies.parameters import Parameter as Parameter
    from crosswire.strategies.parent import ParentOrder as ParentOrder
    from crosswire.strategies.parent import parent_order_changed as parent_order_changed
    from crosswire.strategies.parent import parent_order_due as parent_order_due
    from crosswire.strategies.parent import set_parent_order as set_parent_order
    from crosswire.strategies.parent import stop_parent_order as stop_parent_order
    from crosswire.strategies.parent import work_parent_order as work_parent_order
    from crosswire.venues.book.book import Book as Book
    from crosswire.venues.instrument import Instrument as Instrument
    from crosswire.venues.instrument import Kind as Kind
    from crosswire.venues.instrument import Payoff as Payoff
    from crosswire.venues.order import FOK as FOK
    from crosswire.venues.order import GTC as GTC
    from crosswire.venues.order import IOC as IOC
    from crosswire.venues.order import POST_ONLY as POST_ONLY
    from crosswire.venues.order import AmendState as AmendState
    from crosswire.venues.order import Order as Order
    from crosswire.venues.order import OrderState as OrderState
    from crosswire.venues.order import RejectReason as RejectReason
    from crosswire.venues.order import Report as Report
    from crosswire.venues.order import TimeInForce as TimeInForce
    from crosswire.venues.side import BUY as BUY
    from crosswire.venues.side import SELL as SELL

_HOMES = {
    "crosswire.nic.memory.struct": (
        "Array",
        "Pointer",
        "Struct",
        "f64",
        "i8",
        "i16",
        "i32",
        "i64",
        "u8",
        "u16",
        "u32",
        "u64",
    ),
    "crosswire.nic.rings.ring": ("NEVER_NS",),
    "crosswire.nic.unit.compile": ("compiled",),
    "crosswire.risk.position": ("Position",),
    "crosswire.strategies.desk": (
        "Desk",
        "amend",
        "cancel",
        "cancel_all",
        "cancel_all_of",
        "cancel_by_id",
        "log",
        "next_trade_id",
        "quote",
        "new_opportunity",
        "new_trade",
        "record_opportunity",
        "record_trade",
        "record_value",
        "set_timer",
        "stop_timer",
        "submit",
        "wake_at",
    ),
    "crosswire.strategies.interface": (
        "BuildContext",
        "Strategy",
        "catch_up",
        "on_book",
        "on_book_lost",
        "on_fill",
        "on_finish",
        "on_flattened",
        "on_named_timer",
        "on_order",
        "on_parameters",
        "on_timer",
        "on_trade",
    ),
    "crosswire.strategies.keeping": (
        "KeptOrder",
        "keep_order",
        "kept_order_changed",
        "kept_order_filled",
        "set_kept_order",
    ),
    "crosswire.strategies.parameters": ("Parameter",),
    "crosswire.strategies.parent": (
        "ParentOrder",
        "parent_order_changed",
        "parent_order_due",
        "set_parent_order",
        "stop_parent_order",
        "work_parent_order",
    ),
    "crosswire.venues.book.book": ("Book",),
    "crosswire.venues.instrument": ("Instrument", "Kind", "Payoff"),
    "crosswire.venues.order": (
        "FOK",
        "GTC",
        "IOC",
        "POST_ONLY",
        "AmendState",
        "Order",
        "OrderState",
        "RejectReason",
        "Report",
        "TimeInForce",
    ),
    "crosswire.venues.side": ("BUY", "SELL"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"crosswire has no {name}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
