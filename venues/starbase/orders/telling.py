"""Turning what a Starbase exchange says into reports: each thing once, in whole ticks and lots."""

from crosswire.nic.memory.struct import clear_struct
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import fee_e9
from crosswire.venues.order import NOT_TOLD, REPORTS_MAX, Report, ReportKind, Reports
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.fills import add_fill_once
from crosswire.venues.starbase.orders.state import (
    Refusal,
    StarbaseLink,
    StarbaseSession,
    is_sent,
    lose_link,
    sent_order,
)
from crosswire.venues.starbase.wire import order_codes as codes
from crosswire.venues.starbase.wire.decimal import BAD_VALUE, decimal_lots, price_ticks
from crosswire.venues.starbase.wire.order_layout import Decimal72
from crosswire.venues.starbase.wire.stream import FrameFault, break_stream


@compiled
def break_frame(session: StarbaseSession, link: StarbaseLink, fault: int, now_ns: int) -> None:
    """Give up the link over a frame that can't be understood: it would come again, so the link stays closed."""
    session.bad_frames += 1
    break_stream(link.stream, fault)
    lose_link(session, link, Refusal.BAD_FRAME, now_ns)


@compiled
def is_wanted(session: StarbaseSession, reports: Reports) -> bool:
    """Tell whether the next thing that the frame says is to be told now: it is new, and there is room for it."""
    session.seen += 1
    if session.unread != 0 or session.seen <= session.told:
        return False
    if reports.count >= REPORTS_MAX:
        session.unread = 1
        return False
    session.told += 1
    return True


@compiled
def add_report(
    session: StarbaseSession, reports: Reports, kind: int, client_order_id: int, exchange_time_ns: int
) -> Report:
    """Add the next report, to be filled in; a spare one if it is not wanted now."""
    report = session.spare
    if is_wanted(session, reports):
        report = reports.items[reports.count]
        reports.count += 1
    return _begin_report(session, report, kind, client_order_id, exchange_time_ns)


@compiled
def _begin_report(
    session: StarbaseSession, report: Report, kind: int, client_order_id: int, exchange_time_ns: int
) -> Report:
    clear_struct(report)
    report.leaves_lots = report.filled_lots = NOT_TOLD
    report.kind = kind
    report.venue = session.venue
    report.client_order_id = client_order_id
    report.exchange_time_ns = exchange_time_ns
    report.is_retold = session.is_retelling
    report.instrument = -1
    if is_sent(session, client_order_id):
        order = sent_order(session, client_order_id)
        report.side = order.side
        report.instrument = order.instrument
    return report


@compiled
def tell_fill(
    session: StarbaseSession,
    reports: Reports,
    match_id: int,
    order_id: int,
    client_order_id: int,
    instrument: int,
    side: int,
    ticks: int,
    lots: int,
    is_maker: int,
    exchange_time_ns: int,
) -> Report:
    """Tell one fill, once; a spare report if it was told before or there is no room."""
    if not is_wanted(session, reports) or not add_fill_once(session.fills, match_id, order_id):
        return session.spare
    report = reports.items[reports.count]
    reports.count += 1
    _begin_report(session, report, ReportKind.FILL, client_order_id, exchange_time_ns)
    session.last_execution_id += 1
    report.execution_id = session.last_execution_id
    report.match_id = match_id
    report.exchange_order_id = order_id
    report.instrument = instrument
    report.side = side
    report.is_maker = is_maker
    # Without the instrument's terms, or with a bad value, the fill has no size: whoever applies it will notice.
    if instrument >= 0 and ticks != BAD_VALUE and lots != BAD_VALUE:
        report.price_ticks = ticks
        report.qty_lots = lots
        # Of a combination the price may be negative, or nothing, and of any instrument that is a lie to be heard: by
        # it no inverse contract can be valued.
        report.fee_e9 = fee_e9(session.market[0].instruments[instrument], max(1, abs(ticks)), lots, is_maker)
    return report


@compiled
def side_of(code: int) -> int:
    """Convert the wire's +1 and -1 to BUY and SELL."""
    return BUY if code == codes.WireSide.BUY else SELL


@compiled
def lots_of(session: StarbaseSession, instrument: int, decimal: Decimal72) -> int:
    """Convert a quantity to lots of a market instrument; BAD_VALUE if it has no terms or the quantity is not whole."""
    if instrument < 0:
        return BAD_VALUE
    return decimal_lots(decimal, session.market[0].instruments[instrument].lot_e9)


@compiled
def ticks_of(session: StarbaseSession, instrument: int, price_e9: int) -> int:
    """Convert a price to ticks of a market instrument; BAD_VALUE if it has no terms or the price is not whole."""
    if instrument < 0:
        return BAD_VALUE
    return price_ticks(price_e9, session.market[0].instruments[instrument].tick_e9)


@compiled
def break_value(session: StarbaseSession, link: StarbaseLink, instrument: int, now_ns: int) -> None:
    """Count a price or quantity that can't be told; unless its instrument is unknown, give up the link."""
    if instrument < 0:
        session.unknown_instruments += 1
    else:
        session.bad_values += 1
        break_frame(session, link, FrameFault.BAD_VALUE, now_ns)
