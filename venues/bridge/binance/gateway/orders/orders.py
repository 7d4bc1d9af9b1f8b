"""The order side of a bridge: the engine's session in, the venue's order interfaces out, one account between them.

The account's journal is opened first; then each market's account is made whole; only then may an engine log on. What
can't be true ends it: nothing more is sent, what is open is cancelled, the engine is logged out, and the process exits
with an error that says what and of which order.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from crosswire.venues.bridge.binance.gateway.config import OrdersConfig, parse_address
from crosswire.venues.bridge.binance.gateway.definitions import Definition
from crosswire.venues.bridge.binance.gateway.orders.account import Account
from crosswire.venues.bridge.binance.gateway.orders.budget import Left
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import AmendAsked, Asked, Refused, Told
from crosswire.venues.bridge.binance.gateway.orders.session import EngineSession
from crosswire.venues.bridge.binance.gateway.orders.signing import Signer
from crosswire.venues.bridge.binance.gateway.orders.trader import Trader
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.wire.order_layout import LogoutReason
from crosswire.venues.credentials import load_credentials
from crosswire.venues.errors import VenueError
from crosswire.venues.order import RejectReason

CANCEL_S_MAX = 10.0  # at the end, for what is open
STOP_POLL_S = 0.05


class OrderSide:
    """One account's orders: a `Desk` for the engine's session."""

    def __init__(self, shared: Shared, config: OrdersConfig) -> None:
        """VenueError: what is configured can't be used."""
        self._shared = shared
        self._config = config
        self._signer = Signer(load_credentials(shared.folder / config.key_file))
        self._journal = Journal(shared.folder / Path(config.journal))
        self.account = Account(self._journal)
        if self._journal.cut_bytes:
            shared.log.event(
                "orders", f"the journal's last line was cut short by {self._journal.cut_bytes} bytes: left out"
            )
        if Market.COINM in shared.config.markets:
            shared.log.event("orders", "COIN-M: its feed is published, orders for it are refused")
        self._traders = [
            Trader(
                shared,
                market,
                self._signer,
                self.account,
                self._tell,
                self._stop,
                config.self_trade_prevention,
                config.fee_prices,
            )
            for market in shared.config.markets
            if market != Market.COINM
        ]
        self._session: EngineSession | None = None
        self._why_stopped = ""

    async def run(self) -> None:
        """Serve an engine until cancelled, then cancel what is open. VenueError: what is known can't be true."""
        host, port = parse_address(self._config.address, "orders.address")
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            raise VenueError(f"orders.address = {self._config.address}: {error.strerror or error}") from None
        with self._journal:
            tasks = [loop.create_task(trader.run()) for trader in self._traders]
            tasks.append(loop.create_task(self._check_instruments()))
            tasks += [
                loop.create_task(trader.keep_countdown(self._config.countdown_ms))
                for trader in self._traders
                if trader.market == Market.USDM and self._config.countdown_ms
            ]
            try:
                while not self._why_stopped:
                    for task in tasks:
                        if task.done():
                            task.result()
                    await asyncio.sleep(STOP_POLL_S)
                raise VenueError(f"the account can't be trusted: {self._why_stopped}; compare it with the venue's")
            finally:
                server.close()
                await self._leave()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_instruments(self) -> None:
        """Raise VenueError for an open order that nobody would ask for: its symbol is configured no more."""
        await self._shared.definitions.known.wait()
        for client_order_id, order in self.account.open_orders():
            if self._find(order.asked.instrument_id)[0] is None:
                raise VenueError(
                    f"{self._config.journal}: order {client_order_id} may be open, and its symbol is not configured"
                    f" (instrument {order.asked.instrument_id}): add it, or name another journal once it has ended"
                )

    async def _leave(self) -> None:
        """Log the engine out and cancel what is open; what could not be is named."""
        if self._session is not None:
            self._session.log_out(LogoutReason.CLOSING)
        try:
            async with asyncio.timeout(CANCEL_S_MAX):
                await asyncio.gather(*self._cancels())
        except TimeoutError:
            pass
        for client_order_id, order in self.account.open_orders():
            self._shared.log.event("orders", f"order {client_order_id} is left: {order.leaves_lots} lots may be open")

    def _accept(self) -> EngineSession:
        return EngineSession(self, lambda text: self._shared.log.event("orders", text), self._is_ready)

    def _is_ready(self) -> bool:
        return not self._why_stopped and all(trader.is_whole for trader in self._traders)

    def _tell(self, records: Iterable[Told]) -> None:
        if self._session is not None:
            self._session.tell(records)

    def _stop(self, why: str) -> None:
        if not self._why_stopped:
            self._why_stopped = why
            self._shared.log.event("orders", f"STOPPED: {why}")

    # What the session asks for.

    def engine_is_here(self, session: EngineSession) -> None:
        """Tell this session from here on; the one before is displaced."""
        former, self._session = self._session, session
        if former is not None:
            former.log_out(LogoutReason.DISPLACED)

    def engine_is_gone(self, session: EngineSession) -> None:
        """Cancel what is open: nobody hears what becomes of it."""
        if self._session is session:
            self._session = None
            count = len(self._cancels())
            self._shared.log.event("orders", f"the engine is gone; {count} orders are cancelled")

    def new(self, asked: Asked) -> None:
        """Send an order, or tell why not."""
        try:
            self._new(asked)
        except VenueError as error:  # the journal can't be written: nothing more is certain
            self._stop(str(error))

    def _new(self, asked: Asked) -> None:
        reason = RejectReason.NOT_LOGGED_ON if self._why_stopped else self.account.ask(asked)
        if reason != RejectReason.NONE:
            self._tell([self._refused(asked, reason)])
            return
        trader, definition = self._find(asked.instrument_id)
        if trader is None or definition is None:
            self._tell(self.account.refuse(asked.client_order_id, RejectReason.UNKNOWN_INSTRUMENT, asked.time_ns))
        else:
            trader.place(definition, asked)

    def amend(self, client_order_id: int, price_ticks: int, qty_lots: int) -> None:
        """Ask for other terms of an order, or tell why not."""
        try:
            reason = self._amend(client_order_id, price_ticks, qty_lots)
        except VenueError as error:  # the journal can't be written: nothing more is certain
            self._stop(str(error))
            return
        if reason != RejectReason.NONE and self._session is not None:
            self._session.tell_amend_refused(client_order_id, reason)

    def _amend(self, client_order_id: int, price_ticks: int, qty_lots: int) -> RejectReason:
        order = self.account.orders.get(client_order_id)
        if self._why_stopped:
            return RejectReason.NOT_LOGGED_ON
        if order is None:
            return RejectReason.UNKNOWN_ORDER
        trader, definition = self._find(order.asked.instrument_id)
        if trader is None or definition is None:
            return RejectReason.UNKNOWN_INSTRUMENT
        amend = AmendAsked(
            client_order_id=client_order_id,
            instrument_id=order.asked.instrument_id,
            side=order.asked.side,
            time_ns=time.time_ns(),
            price_ticks=price_ticks,
            qty_lots=qty_lots,
        )
        return trader.amend(definition, order, amend)

    def left(self) -> Left | None:
        """Tell what the tightest market leaves: whichever an order is for, it is not one too many."""
        return min((left for trader in self._traders if (left := trader.left()) is not None), default=None)

    def cancel(self, client_order_id: int) -> None:
        """Cancel an order, or tell that there is none."""
        if not self._start_cancel(client_order_id) and self._session is not None:
            self._session.tell_cancel_refused(client_order_id, RejectReason.UNKNOWN_ORDER)

    def cancel_all(self, done: Callable[[int], None]) -> None:
        """Cancel all orders, and call `done` with their number once each has ended."""
        tasks = self._cancels()
        waiting = asyncio.gather(*tasks, return_exceptions=True)
        waiting.add_done_callback(lambda _all: done(len(tasks)))

    def _cancels(self) -> list[asyncio.Task[None]]:
        tasks = [self._start_cancel(client_order_id) for client_order_id, _order in self.account.open_orders()]
        return [task for task in tasks if task is not None]

    def _start_cancel(self, client_order_id: int) -> asyncio.Task[None] | None:
        order = self.account.orders.get(client_order_id)
        if order is None:
            return None
        trader, definition = self._find(order.asked.instrument_id)
        return trader.cancel(definition, client_order_id) if trader is not None and definition is not None else None

    def _find(self, instrument_id: int) -> tuple[Trader | None, Definition | None]:
        for trader in self._traders:
            definition = trader.find(instrument_id)
            if definition is not None:
                return trader, definition
        return None, None

    def _refused(self, asked: Asked, reason: RejectReason) -> Refused:
        return Refused(
            client_order_id=asked.client_order_id,
            instrument_id=asked.instrument_id,
            side=asked.side,
            time_ns=time.time_ns(),
            reason=reason,
        )
