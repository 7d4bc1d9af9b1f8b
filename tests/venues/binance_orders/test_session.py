"""The gateway's end of the engine's order session, over TCP on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.gateway.orders.account import Account, Trade
from crosswire.venues.bridge.binance.gateway.orders.budget import Left
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import AmendAsked, Asked
from crosswire.venues.bridge.binance.gateway.orders.session import EngineSession
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import IOC, RejectReason
from tests.venues.binance_orders.engine_end import EngineEnd

pytestmark = pytest.mark.binance

Template = messages.Template


class SmallDesk:
    """A venue that fills every order at once, and keeps those of 13 lots open."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.session: EngineSession | None = None
        self.gone = 0
        self.said: list[str] = []
        self.is_ready = True
        self.leaves: Left | None = None

    def new(self, asked: Asked) -> None:
        assert self.session is not None
        assert self.account.ask(asked) == RejectReason.NONE
        self.session.tell(self.account.acknowledge(asked.client_order_id, 1_000 + asked.client_order_id, 2))
        if asked.qty_lots != 13:
            trade = Trade(
                client_order_id=asked.client_order_id,
                venue_order_id=1_000 + asked.client_order_id,
                trade_id=asked.client_order_id,
                instrument_id=asked.instrument_id,
                side=asked.side,
                price_ticks=asked.price_ticks,
                qty_lots=asked.qty_lots,
                fee_e9=-3,
                is_maker=True,
                time_ns=5,
            )
            self.session.tell(self.account.trade(trade))

    def amend(self, client_order_id: int, price_ticks: int, qty_lots: int) -> None:
        """Take no amend but of order 2."""
        assert self.session is not None
        order = self.account.orders.get(client_order_id)
        if order is None or client_order_id != 2:
            self.session.tell_amend_refused(client_order_id, RejectReason.UNKNOWN_ORDER)
            return
        wish = AmendAsked(
            client_order_id=client_order_id,
            instrument_id=order.asked.instrument_id,
            side=order.asked.side,
            time_ns=1,
            price_ticks=price_ticks,
            qty_lots=qty_lots,
        )
        assert self.account.ask_amend(wish) == RejectReason.NONE
        if price_ticks == 0:
            self.session.tell(self.account.refuse_amend(client_order_id, RejectReason.BAD_PRICE, 7))
        self.session.tell(self.account.terms(client_order_id, price_ticks, qty_lots, 7))

    def cancel(self, client_order_id: int) -> None:
        assert self.session is not None
        if client_order_id not in self.account.orders:
            self.session.tell_cancel_refused(client_order_id, RejectReason.UNKNOWN_ORDER)
            return
        number = 1_000 + client_order_id
        self.session.tell(self.account.end(client_order_id, number, 0, RejectReason.NONE, 6))

    def left(self) -> Left | None:
        return self.leaves

    def cancel_all(self, done: Callable[[int], None]) -> None:
        orders = [number for number, _order in self.account.open_orders()]
        for number in orders:
            self.cancel(number)
        done(len(orders))

    def engine_is_here(self, session: EngineSession) -> None:
        former, self.session = self.session, session
        if former is not None:
            former.log_out(messages.LogoutReason.DISPLACED)

    def engine_is_gone(self, _session: EngineSession) -> None:
        self.gone += 1


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[SmallDesk, int]]:
    with Journal(folder / "orders.journal") as journal:
        desk = SmallDesk(Account(journal))
        server = await asyncio.get_running_loop().create_server(
            lambda: EngineSession(desk, desk.said.append, lambda: desk.is_ready), "127.0.0.1", 0
        )
        async with server:
            yield desk, server.sockets[0].getsockname()[1]


def order(engine: EngineEnd, client_order_id: int, qty_lots: int, side: int = 0) -> None:
    engine.send(
        Template.NEW_ORDER,
        client_order_id=client_order_id,
        price_ticks=100,
        qty_lots=qty_lots,
        instrument_id=7,
        side=side,
        time_in_force=IOC,
    )


def run(work: Callable[[], object]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_orders_fills_cancels_and_the_account(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (_desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            order(engine, 1, 4)
            fill = await engine.wait(messages.OrderFill)
            assert (fill.execution_id, fill.qty_lots, fill.leaves_lots, fill.fee_e9) == (1, 4, 0, -3)
            assert (fill.exchange_order_id, fill.instrument_id, fill.is_maker) == (1_001, 7, 1)
            order(engine, 2, 13, side=1)
            order(engine, 3, 13)
            engine.send(Template.CANCEL_ORDER, client_order_id=3, instrument_id=7)
            ended = await engine.wait(messages.OrderCancelled)
            assert (ended.client_order_id, ended.leaves_lots) == (3, 13)
            engine.send(Template.CANCEL_ORDER, client_order_id=3, instrument_id=7)
            assert (await engine.wait(messages.CancelReject)).reason == RejectReason.UNKNOWN_ORDER
            engine.send(Template.ACCOUNT_QUERY, execution_id=0)
            end = await engine.wait(messages.AccountEnd)
            assert (end.client_order_id, end.execution_id, end.open_orders, end.more, end.missing) == (3, 1, 1, 0, 0)
            (open_order,) = [each for each in engine.told if isinstance(each, messages.AccountOrder)]
            assert (open_order.client_order_id, open_order.leaves_lots, open_order.side) == (2, 13, 1)
            (position,) = [each for each in engine.told if isinstance(each, messages.AccountPosition)]
            assert (position.position_lots, position.instrument_id) == (4, 7)
            engine.send(Template.MASS_CANCEL)
            assert (await engine.wait(messages.MassCancelAck)).cancelled == 1

    run(work)


def test_many_fills_are_told_in_parts(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (_desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            for number in range(1, 151):
                order(engine, number, 1)
            while (await engine.wait(messages.OrderFill)).execution_id < 150:
                pass
            known, told = 3, []
            while True:
                engine.told.clear()
                engine.send(Template.ACCOUNT_QUERY, execution_id=known)
                end = await engine.wait(messages.AccountEnd)
                told += [each.execution_id for each in engine.told if isinstance(each, messages.OrderFill)]
                known = told[-1]
                if not end.more:
                    break
            assert told == list(range(4, 151))

    run(work)


@pytest.mark.parametrize("cut", [1, 7, 24, 40])
def test_a_message_in_pieces_is_one_message(tmp_path: Path, cut: int) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (_desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            data = b"".join(
                engine.message(Template.NEW_ORDER, client_order_id=number, price_ticks=100, qty_lots=1, instrument_id=7)
                for number in range(1, 30)
            )
            for start in range(0, len(data), cut):
                engine.send_bytes(data[start : start + cut])
                await asyncio.sleep(0)
            while (await engine.wait(messages.OrderFill)).client_order_id < 29:
                pass

    run(work)


@pytest.mark.parametrize("fault", ["sequence", "template", "length", "direction"])
def test_what_can_not_be_read_ends_the_session(tmp_path: Path, fault: str) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            data = bytearray(engine.message(Template.LOGON_ACK if fault == "direction" else Template.MASS_CANCEL))
            if fault != "direction":
                data[{"sequence": 8, "template": 2, "length": 0}[fault]] = 99 if fault != "length" else 1
            engine.send_bytes(bytes(data))
            logout = await engine.wait(messages.Logout)
            assert logout.reason == messages.LogoutReason.BAD_MESSAGE
            await engine.wait_closed()
            assert desk.gone == 1

    run(work)


def test_nothing_before_the_logon_and_no_logon_before_the_account_is_known(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (desk, port):
            early = await EngineEnd.connect(port)
            early.send(Template.MASS_CANCEL)
            assert (await early.wait(messages.Logout)).reason == messages.LogoutReason.NOT_LOGGED_ON
            desk.is_ready = False
            engine = await EngineEnd.connect(port)
            engine.send(Template.LOGON, session_id=9, heartbeat_interval_ms=1_000)
            await engine.wait_closed()
            assert engine.told == []
            assert desk.gone == 0

    run(work)


def test_a_second_engine_displaces_the_first(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (desk, port):
            first = await EngineEnd.connect(port)
            await first.log_on()
            second = await EngineEnd.connect(port)
            await second.log_on()
            assert (await first.wait(messages.Logout)).reason == messages.LogoutReason.DISPLACED
            order(second, 1, 4)
            await second.wait(messages.OrderFill)
            assert desk.gone == 1

    run(work)


def test_heartbeats_and_silence(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (_desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on(heartbeat_interval_ms=100)
            await engine.wait(messages.Heartbeat)
            logout = await engine.wait(messages.Logout)  # we say nothing ourselves
            assert logout.reason == messages.LogoutReason.SILENCE

    run(work)


def test_a_peer_that_does_not_read_is_closed(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on(heartbeat_interval_ms=60_000)
            for number in range(1, 200):
                order(engine, number, 1)
            await engine.wait(messages.OrderFill)
            for _ in range(4_000):
                engine.send(Template.ACCOUNT_QUERY, execution_id=0)
            for _ in range(200):
                if desk.gone:
                    break
                await asyncio.sleep(0.05)
            assert desk.gone == 1
            assert any("does not read" in line for line in desk.said)

    run(work)


def test_amends_and_what_the_account_then_tells(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (_desk, port):
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            order(engine, 2, 13, side=1)
            engine.send(Template.AMEND_ORDER, client_order_id=2, price_ticks=0, qty_lots=9, instrument_id=7)
            refused = await engine.wait(messages.AmendReject)
            assert (refused.client_order_id, refused.exchange_time_ns) == (2, 7)
            assert refused.reason == RejectReason.BAD_PRICE
            engine.send(Template.AMEND_ORDER, client_order_id=2, price_ticks=99, qty_lots=9, instrument_id=7)
            amended = await engine.wait(messages.OrderAmended)
            assert (amended.client_order_id, amended.exchange_order_id, amended.side) == (2, 1_002, 1)
            assert (amended.price_ticks, amended.qty_lots, amended.instrument_id) == (99, 9, 7)
            assert amended.exchange_time_ns == 7
            engine.send(Template.AMEND_ORDER, client_order_id=5, price_ticks=99, qty_lots=9, instrument_id=7)
            assert (await engine.wait(messages.AmendReject)).reason == RejectReason.UNKNOWN_ORDER
            engine.send(Template.ACCOUNT_QUERY, execution_id=0)
            told = await engine.wait(messages.AccountOrder)
            assert (told.price_ticks, told.leaves_lots) == (99, 9)

    run(work)


def test_an_engine_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path) as (desk, port):
            engine = await EngineEnd.connect(port)
            logon = engine.message(Template.LOGON, session_id=9, heartbeat_interval_ms=1_000)
            at = messages.MessageHeader.fields["version"].offset
            engine.send_bytes(logon[:at] + bytes([messages.VERSION - 1, 0]) + logon[at + 2 :])
            assert (await engine.wait(messages.Logout)).reason == messages.LogoutReason.BAD_LOGON
            await engine.wait_closed()
            why = f"speaks a version of the order protocol before {messages.VERSION}: run the same release at both ends"
            assert desk.said[0].endswith(why)
            assert len(desk.said) == 2  # and that it was logged out

    run(work)
