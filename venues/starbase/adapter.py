"""Deribit Starbase's door."""

from collections.abc import Mapping, Sequence
from typing import Any

from crosswire.nic.host.owner import Owner
from crosswire.nic.memory.struct import Struct
from crosswire.nic.rings.connection import connection_of
from crosswire.venues.adapter import (
    AccountSource,
    Adapter,
    ExchangeAccount,
    ExchangeSetup,
    Gateways,
    GatewaySetup,
    OrderEntry,
    VenueSetup,
)
from crosswire.venues.exchange.lies import Lie
from crosswire.venues.exchange.order_entry import replayed_order_entry
from crosswire.venues.instrument import text_of
from crosswire.venues.market import Market
from crosswire.venues.session import Resumed, SessionState
from crosswire.venues.starbase.feed.feed import make_starbase_feed
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import Refusal, StarbaseSession, is_waiting_for_terms, join_states
from crosswire.venues.starbase.rest.address import parse_address
from crosswire.venues.starbase.settings import StarbaseSettings, credentials_of
from crosswire.venues.starbase.wire import time as wire_time  # noqa: F401  registers how its packets tell their time
from crosswire.venues.starbase.wire.market_layout import WIRE
from crosswire.venues.starbase.wire.order_codes import SelfTradingMode
from crosswire.venues.starbase.wire.order_layout import VERSION

MODES = {"cancel_taker": SelfTradingMode.CANCEL_TAKER, "cancel_maker": SelfTradingMode.CANCEL_MAKER}
DISCOVERED_INSTRUMENTS = 1024
DISCOVERED_ORDERS = 1 << 14  # an instrument
DISCOVERED_LEVELS = 4096  # a book
REFUSALS = {
    Refusal.LOGGED_OUT: "the exchange logged us out",
    Refusal.SCHEMA_VERSION: "the exchange speaks a version of the schema that we do not",
    Refusal.NUMBERS_LOST: "the exchange forgot the session's numbers, so what it did meanwhile can't be asked for",
    Refusal.BAD_FRAME: "it sent a frame that can't be understood, and would send it again",
}
FACTS = {
    "recovery": ("holes", "holes_filled", "messages_lost", "requests", "replies"),
    "snapshots": ("snapshots_loaded", "snapshots_behind", "snapshots_ahead", "snapshots_incomplete", "cycles"),
    "trades": ("block_trades", "trades_dropped"),
    "schema": ("version_read",),
}


def make_feed(setup: VenueSetup) -> StarbaseFeed:
    """Make a feed that has seen nothing yet."""
    return make_starbase_feed(setup.number, setup.market, level_capacity=setup.level_capacity)


def discover(market: Market) -> StarbaseFeed:
    """Make a feed that takes up every instrument it is told of."""
    return make_starbase_feed(0, market, order_capacity=DISCOVERED_ORDERS, discover=1)


def make_session(setup: VenueSetup) -> StarbaseSession:
    """Make a closed session over one flow a gateway. ValueError if the key or a setting does not fit."""
    settings: StarbaseSettings = setup.settings
    key = credentials_of(settings, setup.folder)
    try:
        return make_starbase_session(
            setup.number,
            setup.market,
            setup.flows,
            key.client_id.encode(),
            key.secret,
            self_match_prevention_id=settings.self_match_prevention_id,
            self_trading_mode=MODES[settings.self_trading_mode],
            mmp_group_id=settings.mmp_group_id,
            mmp_risk_bypass=settings.mmp_risk_bypass,
            tokens_per_ms=settings.tokens_per_ms,
            tokens_max=settings.token_burst,
            quote_tokens_per_ms=settings.quote_tokens_per_ms,
            quote_tokens_max=settings.quote_token_burst,
        )
    except ValueError as error:
        raise ValueError(f"starbase: {error}") from None


def believe_ready(session: Any, ring: Any, now_ns: int) -> None:
    """Have every link believe that its gateway answered the logon."""
    session.started = 1
    session.state = SessionState.READY
    for number in range(session.link_count):
        link = session.links[number]
        link.state = SessionState.READY
        link.connection = connection_of(ring, number)
        link.logons = link.confirmed = 1
        link.last_received_ns = link.last_sent_ns = now_ns
    join_states(session)


def explain(session: Any) -> str:
    """Say why gateways are not connected to again, with what the exchange said."""
    said = []
    for number, name in enumerate("AB"[: session.link_count]):
        link = session.links[number]
        if link.refusal == Refusal.NONE or link.logging_out != 0:
            continue
        reason = text_of(bytes(link.reason)[: link.reason_length])
        said.append(f"gateway {name}: {REFUSALS[link.refusal]}" + (f": {reason}" if reason else ""))
    return "; ".join(said)


def notices(session: Any) -> list[str]:
    """Say what a person should know of a session that goes on: each text is to be told once."""
    told = []
    if is_waiting_for_terms(session):
        told.append("the session waits for the definition of its instruments before it logs on and asks what it missed")
    for number, name in enumerate("AB"[: session.link_count]):
        link = session.links[number]
        if link.is_resumed != 0 and link.losses != 0:
            told.append(f"gateway {name} was lost before it had told what was missed: it is connected to again")
        spoken = max(link.schema_version, link.version_read)
        if spoken > VERSION:
            told.append(
                f"gateway {name} speaks version {spoken} of the order schema, we know {VERSION}: "
                "fields that came later are stepped over"
            )
        if link.mass_cancels_refused != 0:
            told.append(f"gateway {name} refused a mass cancel, which is sent again until it does not")
    return told


def resume(session: Any, resumed: Resumed | None) -> None:
    """Have the session go on from the numbers, orders and fills of an earlier run, if there is one."""
    from crosswire.venues.starbase.orders.resume import resume_session  # live runs need it once, backtests never

    if resumed is not None:
        resume_session(session, resumed)


def make_exchange(setup: ExchangeSetup) -> Struct:
    """Make the exchange that matches order by order, in virtual time."""
    from crosswire.venues.starbase.exchange.build import make_exchange as make  # live runs need none of it

    return make(setup)


def make_gateways(setup: GatewaySetup) -> Gateways:
    """Make gateways A and B on real sockets."""
    from crosswire.venues.starbase.exchange.gateways import StarbaseGateways

    return StarbaseGateways(setup)


def account_of(exchange: Any) -> ExchangeAccount:
    """Tell what the simulated exchange's own books say of its client."""
    from crosswire.venues.starbase.exchange import account

    return account.account_of(exchange)


def make_source(setup: VenueSetup, symbols: Sequence[str]) -> AccountSource | None:
    """Make what asks the venue's REST for our account, if that is configured."""
    from crosswire.venues.starbase.rest.account import make_account_source  # backtests need none of it

    return make_account_source(setup, symbols)


def ports_of(settings: StarbaseSettings) -> tuple[int, ...]:
    """List the ports of the venue's REST."""
    addresses = [parse_address(text, "rest") for text in (settings.rest, settings.rest_b, settings.positions) if text]
    return tuple(sorted({each.port for each in addresses}))


def open_rest(settings: StarbaseSettings) -> Owner:
    """Listen where the simulated exchange's REST is asked."""
    from crosswire.venues.starbase.exchange.rest import Listeners

    return Listeners(settings)


def kill_gateway(exchange: Any, gateway: int, now_ns: int) -> None:
    """Let a gateway's process die and another start."""
    from crosswire.venues.starbase.exchange import account

    account.kill_gateway(exchange, gateway, now_ns)


def connect_anew(exchange: Any, now_ns: int) -> None:
    """Take connections of the client's next process."""
    from crosswire.venues.starbase.exchange import account

    account.connect_anew(exchange, now_ns)


def repeat_answers(exchange: Any, gateway: int, count: int, now_ns: int) -> None:
    """Let a gateway send its last messages again, unasked."""
    from crosswire.venues.starbase.exchange import account

    account.repeat_answers(exchange, gateway, count, now_ns)


def displace(exchange: Any, gateway: int, now_ns: int) -> bool:
    """Let another client of our key log on at a gateway."""
    from crosswire.venues.starbase.exchange import account

    return account.displace(exchange, gateway, now_ns)


def throttle(exchange: Any, until_ns: int) -> None:
    """Have the gateways take no order or quote of ours before then."""
    from crosswire.venues.starbase.exchange import account

    account.throttle(exchange, until_ns)


def lies() -> Mapping[str, Lie]:
    """Tell what the simulated exchange can be made to say that is not so."""
    from crosswire.venues.starbase.exchange.lies import LIES  # only a simulation has them told

    return LIES


def channels(feed: Any) -> list[dict[str, int]]:
    """Tell each channel's state; an incremental and a snapshot channel may have the same id."""
    used = [feed.channels[slot] for slot in range(feed.channel_count)]
    rows = [
        {"id": each.channel_id, "snapshot": each.is_snapshot, "packets": each.packets, "next_message": each.next}
        for each in used
    ]
    return sorted(rows, key=lambda row: (row["id"], row["snapshot"]))


def facts(feed: Any) -> dict[str, dict[str, int]]:
    """Tell how the feed recovered from what was missing."""
    return {
        group: {name.removeprefix("snapshots_"): getattr(feed, name) for name in names}
        for group, names in FACTS.items()
    }


ADAPTER = Adapter(
    name="starbase",
    settings=StarbaseSettings,
    wire=WIRE,
    make_feed=make_feed,
    order_entries={
        "starbase": OrderEntry(
            make_session=make_session,
            make_exchange=make_exchange,
            make_gateways=make_gateways,
            replays=False,
            gateways_max=2,
            believe_ready=believe_ready,
            explain=explain,
            notices=notices,
            account=account_of,
            kill_gateway=kill_gateway,
            connect_anew=connect_anew,
            resume=resume,
            repeat_answers=repeat_answers,
            displace=displace,
            throttle=throttle,
            lies=lies,
            make_account_source=make_source,
            account_ports=ports_of,
            open_listeners=open_rest,
        ),
        # The order-by-order exchange can't be made from captures: it would need everybody else's orders to react to
        # ours. Captures are replayed as books, as those of every other venue, with the orders of that exchange.
        "bridge": replayed_order_entry(make_feed),
    },
    discover=discover,
    untold=("contract", "maker_fee", "taker_fee"),
    instruments_max=DISCOVERED_INSTRUMENTS,
    levels_max=DISCOVERED_LEVELS,
    channels=channels,
    facts=facts,
)
