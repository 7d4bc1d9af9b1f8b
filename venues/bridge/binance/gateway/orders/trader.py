"""Orders of one market: sent once each, asked for when it is not known what became of them, told as they happen.

An order is in the journal before it leaves. If no answer comes, or one that leaves it open, the order is asked for by
its id until the venue says what it is: it is never sent again. "No such order" is believed only once the request's own
time window is over, behind which the venue can't execute it any more.

After each connection the account is made whole before anything is sent: each open order is asked for, the trades behind
the last known one, and on USD-M the positions, which must be what the trades add up to.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.gateway.definitions import PATHS as REST_PATHS
from crosswire.venues.bridge.binance.gateway.definitions import Definition, ask_time
from crosswire.venues.bridge.binance.gateway.log import plain
from crosswire.venues.bridge.binance.gateway.orders.account import (
    Account,
    ContradictionError,
    Order,
    TradesMissingError,
)
from crosswire.venues.bridge.binance.gateway.orders.api import RECEIVE_WINDOW_MS, OrderApi, UnansweredError
from crosswire.venues.bridge.binance.gateway.orders.budget import Left, OrderBudget
from crosswire.venues.bridge.binance.gateway.orders.codes import Outcome, meaning_of, outcome_of
from crosswire.venues.bridge.binance.gateway.orders.records import AmendAsked, Asked, Told
from crosswire.venues.bridge.binance.gateway.orders.signing import Signer
from crosswire.venues.bridge.binance.gateway.orders.user_data import UserDataStream
from crosswire.venues.bridge.binance.gateway.orders.wire import (
    AMEND_METHODS,
    ENDED_STATUSES,
    ID_PREFIX,
    OPEN_STATUSES,
    OrderEvent,
    OrderState,
    SpotAmendAnswer,
    TradeState,
    amend_params,
    amend_refusal,
    client_order_id_of,
    fee_e9,
    filter_refusal,
    lots_of,
    order_id_text,
    place_params,
    qty_e9,
    ticks_of,
    trade_of_event,
    trade_of_list,
)
from crosswire.venues.bridge.binance.gateway.rest import RefusedError
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import to_e9
from crosswire.venues.errors import VenueError, one_line
from crosswire.venues.instrument import E9
from crosswire.venues.order import RejectReason

WINDOW_MARGIN_MS = 1_000  # behind a request's time window, for clocks and for what the venue's database is behind
ASK_AGAIN_S = 0.5  # between two questions for what became of an order
TRADES_PAGE = 500  # trades of one answer
TRADES_WEIGHT = {Market.SPOT: 20, Market.USDM: 5}
OPEN_ORDERS_WEIGHT = {Market.SPOT: 6, Market.USDM: 1}
TRADES_PATHS = {Market.SPOT: "/api/v3/myTrades", Market.USDM: "/fapi/v1/userTrades"}
POSITIONS_PATH, POSITIONS_WEIGHT = "/fapi/v3/positionRisk", 5
COUNTDOWN_PATH, COUNTDOWN_WEIGHT = "/fapi/v1/countdownCancelAll", 10
POSITIONS_TRIES = 4  # a trade may be on its way while we ask
# Of one order's cancel, until nothing is believed any more. What is not answered, or not even sent, says nothing of the
# order: a venue that is away, or answers nobody for a while, is asked again for as long as it takes.
CANCEL_REFUSALS_MAX = 20
TRADE_EXECUTIONS = frozenset({"TRADE", "CALCULATED"})  # the second of a liquidation

DecodedT = TypeVar("DecodedT")


class PositionState(msgspec.Struct, rename="camel"):
    """A position as USD-M tells it."""

    symbol: str
    position_amt: str
    position_side: str = "BOTH"


class EventHead(msgspec.Struct):
    """What kind of event of the account it is."""

    e: str = ""
    o: msgspec.Raw = msgspec.Raw(b"null")


class Trader:
    """One market's. `tell` takes what the engine is to hear, `stop` why nothing more can be trusted."""

    def __init__(
        self,
        shared: Shared,
        market: Market,
        signer: Signer,
        account: Account,
        tell: Callable[[Iterable[Told]], None],
        stop: Callable[[str], None],
        self_trade_prevention: str = "",
        fee_prices: dict[str, str] | None = None,
    ) -> None:
        self.market = market
        self._shared = shared
        self._signer = signer
        self._account = account
        self._tell = tell
        self._stop = stop
        self._prevention = self_trade_prevention
        self._fee_prices = {asset: to_e9(text, "fee_prices") for asset, text in (fee_prices or {}).items()}
        self._where = f"{market.name.lower()} orders"
        self.api = OrderApi(shared, market, signer, self._note_connected, self._take_event)
        self.stream = (
            UserDataStream(shared, self.api, self._note_connected, self._take_event) if market == Market.USDM else None
        )
        self._budget = OrderBudget(shared.limits[market], shared.clocks[market])
        self._connected = asyncio.Event()
        self._is_whole = False
        self._doubtful: set[int] = set()  # orders that it is being asked for what became of them
        self._tasks: set[asyncio.Task[None]] = set()

    def left(self) -> Left | None:
        """Tell how many orders the venue still takes; None: not known yet."""
        return self._budget.left()

    @property
    def is_whole(self) -> bool:
        """Whether all is known, and all that happens is heard of."""
        return self._is_whole and self.api.is_ready and (self.stream is None or self.stream.is_open)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.api.run())
            if self.stream is not None:
                group.create_task(self.stream.run())
            group.create_task(self._keep_whole())

    def _note_connected(self) -> None:
        self._is_whole = False
        self._connected.set()

    async def _keep_whole(self) -> None:
        await self._shared.definitions.known.wait()
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                if not await self._make_whole():
                    continue
            except VenueError as error:
                await self._note_failure("the account is not whole", error)
                await asyncio.sleep(ASK_AGAIN_S)
                self._connected.set()
                continue
            except ContradictionError as error:
                self._stop(str(error))
                return
            if not self._connected.is_set():
                self._is_whole = True
                self._shared.log.event(self._where, "the account is whole")

    async def _make_whole(self) -> bool:
        """Ask for all that may have happened; False: events are not heard yet, which will be told again. VenueError."""
        if self.stream is not None and not self.stream.is_open:
            return False
        await self._ask_time()
        for client_order_id, order in self._account.open_orders():
            definition = self.find(order.asked.instrument_id)
            if definition is not None:
                while client_order_id in self._account.orders and not await self._find_out(definition, client_order_id):
                    await asyncio.sleep(ASK_AGAIN_S)
        for definition in self._definitions():
            await self._fetch_trades(definition)
            await self._check_open_orders(definition)
        if self.market == Market.USDM:
            await self._check_positions()
        return True

    def _definitions(self) -> list[Definition]:
        table = self._shared.definitions.table
        return [each for (market, _symbol), each in table.items() if market == self.market]

    def find(self, instrument_id: int) -> Definition | None:
        """Find the definition of an instrument of this market."""
        return next((each for each in self._definitions() if each.instrument_id == instrument_id), None)

    async def _ask_time(self) -> None:
        await ask_time(self.market, self._shared.rest[self.market], self._shared.clocks[self.market])

    async def _note_failure(self, what: str, error: VenueError) -> None:
        """Say what failed, and do what a refusal asks for."""
        self._shared.log.event(self._where, f"{what}: {error}")
        outcome = outcome_of(error)
        if outcome == Outcome.STOP:
            self._stop(str(error))
        elif outcome == Outcome.CLOCK:
            try:
                await self._ask_time()
            except VenueError as failed:
                self._shared.log.event(self._where, f"the venue's time: {failed}")

    # What the engine asks for.

    def place(self, definition: Definition, asked: Asked) -> None:
        """Send an order that the account has noted, or refuse it."""
        reason = self._refusal(definition, asked)
        if reason != RejectReason.NONE:
            self._tell(self._account.refuse(asked.client_order_id, reason, asked.time_ns))
            return
        self._start(self._place(definition, asked))

    def _refusal(self, definition: Definition, asked: Asked) -> RejectReason:
        if not self._is_certain(definition):
            return RejectReason.BOOK_NOT_READY
        refusal = filter_refusal(definition, asked)
        if refusal != RejectReason.NONE:
            return refusal
        return RejectReason.NONE if self._budget.take() else RejectReason.RATE_LIMIT

    def _is_certain(self, definition: Definition) -> bool:
        """Tell whether an instrument trades, and all is known of our orders there."""
        is_in_doubt = any(self._is_of(each, definition) for each in self._doubtful)
        return definition.is_trading and self.is_whole and not is_in_doubt

    def _is_of(self, client_order_id: int, definition: Definition) -> bool:
        order = self._account.orders.get(client_order_id)
        return order is not None and order.asked.instrument_id == definition.instrument_id

    async def _place(self, definition: Definition, asked: Asked) -> None:
        number = asked.client_order_id
        params = place_params(definition, asked, self._id_text(number), self._prevention)
        try:
            state = _decode(await self.api.call("order.place", params), OrderState)
        except RefusedError as error:
            meaning = meaning_of(error.status, error.code, error.message)
            if meaning.outcome != Outcome.UNKNOWN:
                self._tell(self._account.refuse(number, meaning.reason, asked.time_ns))
            await self._note_failure(f"order {number}", error)
            await self._ask_until_known(definition, number)
        except UnansweredError as error:
            await self._note_failure(f"order {number} is asked for", error)
            await self._ask_until_known(definition, number)
        except VenueError as error:
            self._tell(self._account.refuse(number, self._reason_not_sent(), asked.time_ns))
            await self._note_failure(f"order {number} was not sent", error)
        else:
            await self._take_answer(definition, number, state)

    def amend(self, definition: Definition, order: Order, amend: AmendAsked) -> RejectReason:
        """Ask for other terms of an open order; NONE: it will be told what became of that. VenueError: no journal."""
        if not self._is_certain(definition):
            return RejectReason.BOOK_NOT_READY
        reason = amend_refusal(definition, order, amend)
        is_so = (amend.price_ticks, amend.qty_lots) == (order.price_ticks, order.qty_lots)
        # The venue counts an amend among the orders on USD-M alone.
        if reason == RejectReason.NONE and not is_so and self.market == Market.USDM and not self._budget.take():
            reason = RejectReason.RATE_LIMIT
        reason = reason or self._account.ask_amend(amend)
        if reason == RejectReason.NONE:
            if is_so:
                self._tell(self._account.terms(amend.client_order_id, amend.price_ticks, amend.qty_lots, amend.time_ns))
            else:
                self._start(self._amend(definition, amend))
        return reason

    async def _amend(self, definition: Definition, amend: AmendAsked) -> None:
        number = amend.client_order_id
        params = amend_params(definition, amend, self._id_text(number))
        try:
            body = await self.api.call(AMEND_METHODS[self.market], params)
            is_spot = self.market == Market.SPOT
            state = _decode(body, SpotAmendAnswer).state if is_spot else _decode(body, OrderState)
        except RefusedError as error:
            meaning = meaning_of(error.status, error.code, error.message)
            if meaning.outcome not in (Outcome.UNKNOWN, Outcome.GONE):
                self._tell(self._account.refuse_amend(number, meaning.reason, amend.time_ns))
            await self._note_failure(f"amend of order {number}", error)
            if meaning.outcome in (Outcome.UNKNOWN, Outcome.GONE):
                await self._ask_until_known(definition, number)
        except UnansweredError as error:
            await self._note_failure(f"order {number} is asked for, and whether it was amended", error)
            await self._ask_until_known(definition, number)
        except VenueError as error:
            self._tell(self._account.refuse_amend(number, self._reason_not_sent(), amend.time_ns))
            await self._note_failure(f"amend of order {number} was not sent", error)
        else:
            await self._take_answer(definition, number, state)

    def _reason_not_sent(self) -> RejectReason:
        is_limited = self._shared.limits[self.market].wait_s(1) > 0
        return RejectReason.RATE_LIMIT if is_limited else RejectReason.BOOK_NOT_READY

    async def _take_answer(self, definition: Definition, client_order_id: int, state: OrderState) -> None:
        """Take up what an answer says an order is; what can't be had of it now is asked for until it can."""
        try:
            await self._take_state(definition, client_order_id, state)
        except VenueError as error:
            await self._note_failure(f"trades of order {client_order_id}", error)
            await self._ask_until_known(definition, client_order_id)

    async def _ask_until_known(self, definition: Definition, client_order_id: int) -> None:
        """Ask what became of an order until the venue says it; nothing else goes to its instrument meanwhile."""
        self._doubtful.add(client_order_id)
        try:
            while client_order_id in self._account.orders:
                try:
                    if await self._find_out(definition, client_order_id):
                        return
                except VenueError as error:
                    await self._note_failure(f"order {client_order_id} is not known", error)
                await asyncio.sleep(ASK_AGAIN_S)
        finally:
            self._doubtful.discard(client_order_id)

    async def _find_out(self, definition: Definition, client_order_id: int) -> bool:
        """Ask what an order is and take that up; False: ask again later. VenueError."""
        order = self._account.orders[client_order_id]
        params = {"symbol": definition.symbol, "origClientOrderId": self._id_text(client_order_id)}
        try:
            state = _decode(await self.api.call("order.status", params), OrderState)
        except RefusedError as error:
            if outcome_of(error) != Outcome.GONE:
                raise
            if not self._is_window_over(order.asked.time_ns):
                return False
            if client_order_id in self._account.orders:
                self._tell(self._account.refuse(client_order_id, RejectReason.OTHER, order.asked.time_ns))
            return True
        await self._take_state(definition, client_order_id, state)
        if order.amend is not None and client_order_id in self._account.orders:
            if not self._is_window_over(order.amend.time_ns):
                return False
            self._tell(self._account.refuse_amend(client_order_id, RejectReason.OTHER, order.amend.time_ns))
        return True

    def _is_window_over(self, asked_ns: int) -> bool:
        """Tell whether what was asked for at a time of ours can't be executed any more."""
        clock = self._shared.clocks[self.market]
        asked_ms = (asked_ns + clock.offset_ns) // NS_PER_MS
        return clock.venue_ms() >= asked_ms + RECEIVE_WINDOW_MS + WINDOW_MARGIN_MS + clock.error_ns // NS_PER_MS

    async def _take_state(self, definition: Definition, client_order_id: int, state: OrderState) -> None:
        """Take up what an answer says an order is. VenueError: its trades could not be asked for."""
        executed_lots = lots_of(definition, state.executed_qty)
        if state.price and state.orig_qty:
            terms = ticks_of(definition, state.price), lots_of(definition, state.orig_qty)
            self._tell(self._account.terms(client_order_id, *terms, state.time_ns))
        if state.status in OPEN_STATUSES:
            self._tell(self._account.acknowledge(client_order_id, state.order_id, state.time_ns))
            order = self._account.orders.get(client_order_id)
            if order is not None and executed_lots > order.filled_lots:
                await self._fetch_trades(definition, state.order_id)
        elif state.status in ENDED_STATUSES:
            reason = ENDED_STATUSES[state.status]
            end = (client_order_id, state.order_id, executed_lots, reason, state.time_ns)
            try:
                self._tell(self._account.end(*end))
            except TradesMissingError:
                self._tell(self._account.acknowledge(client_order_id, state.order_id, state.time_ns))
                await self._fetch_trades(definition, state.order_id)
                self._tell(self._account.end(*end))
        else:
            raise ContradictionError(f"order {client_order_id} has a status that is not known: {plain(state.status)}")

    async def _fetch_trades(self, definition: Definition, venue_order_id: int = 0) -> None:
        """Ask for an order's trades, or for all behind those checked before, and take up what is new. VenueError."""
        params: dict[str, Any] = {"symbol": definition.symbol, "limit": TRADES_PAGE}
        checked_id = self._account.checked_trade_ids.get(definition.instrument_id)
        if venue_order_id:
            params["orderId"] = venue_order_id
        elif checked_id is not None:
            params["fromId"] = checked_id + 1
        else:
            params["startTime"] = self._account.begun_ns // NS_PER_MS
        while True:
            path, weight = TRADES_PATHS[self.market], TRADES_WEIGHT[self.market]
            trades = await self._get(path, params, weight, list[TradeState])
            for each in sorted(trades, key=lambda trade: trade.id):
                await self._take_listed(definition, each)
            if trades and not venue_order_id:
                self._account.check_trades(definition.instrument_id, max(each.id for each in trades))
            if len(trades) < TRADES_PAGE:
                return
            params.pop("startTime", None)
            params["fromId"] = trades[-1].id + 1

    async def _take_listed(self, definition: Definition, state: TradeState) -> None:
        if self._account.known_trade(definition.instrument_id, state.id) is not None:
            return
        number = self._account.order_of(state.order_id) or await self._ours(definition, state.order_id)
        price_ticks = ticks_of(definition, state.price)
        charged_e9 = self._fee_e9(definition, state.commission, state.commission_asset, price_ticks)
        self._tell(self._account.trade(trade_of_list(definition, number, state, charged_e9)))

    async def _ours(self, definition: Definition, venue_order_id: int) -> int:
        """Ask whose order it is that was traded: its client order id, 0 if it is none of the engine's."""
        body = await self.api.call("order.status", {"symbol": definition.symbol, "orderId": venue_order_id})
        return client_order_id_of(self._account.begun_ns, _decode(body, OrderState).id_text)

    async def _check_open_orders(self, definition: Definition) -> None:
        """Compare the venue's open orders with ours. ContradictionError: one that has ended by all we know is open."""
        path, weight = f"{REST_PATHS[self.market]}/openOrders", OPEN_ORDERS_WEIGHT[self.market]
        for state in await self._get(path, {"symbol": definition.symbol}, weight, list[OrderState]):
            number = client_order_id_of(self._account.begun_ns, state.id_text)
            if number and number not in self._account.orders:
                raise ContradictionError(
                    f"order {number} is open at the venue ({definition.name}), and has ended by the journal"
                )
            if not number:
                whose = "a lost journal's" if state.id_text.startswith(ID_PREFIX) else "not this gateway's"
                self._shared.log.event(self._where, f"{definition.name}: order {state.order_id} is open, and {whose}")
                self._shared.log.count("open orders of others")

    async def _check_positions(self) -> None:
        """Compare the venue's positions with what the trades add up to. ContradictionError: they differ."""
        for left in reversed(range(POSITIONS_TRIES)):
            told = await self._get(POSITIONS_PATH, {}, POSITIONS_WEIGHT, list[PositionState])
            differences = []
            for definition in self._definitions():
                held = {each.symbol: each for each in told if each.position_side == "BOTH"}.get(definition.symbol)
                venue_e9 = to_e9(held.position_amt, "positionAmt") if held is not None else 0
                ours_e9 = qty_e9(definition, self._account.positions.get(definition.instrument_id, 0))
                if venue_e9 != ours_e9:
                    differences.append(
                        f"{definition.name}: {venue_e9 / E9:g} at the venue, {ours_e9 / E9:g} by its trades"
                    )
            if not differences:
                return
            if left == 0:
                raise ContradictionError(f"positions differ: {'; '.join(differences)}")
            await asyncio.sleep(ASK_AGAIN_S)
            for definition in self._definitions():
                await self._fetch_trades(definition)

    def cancel(self, definition: Definition, client_order_id: int) -> asyncio.Task[None]:
        """Cancel an order, as often as it takes."""
        return self._start(self._cancel(definition, client_order_id))

    async def _cancel(self, definition: Definition, client_order_id: int) -> None:
        params = {"symbol": definition.symbol, "origClientOrderId": self._id_text(client_order_id)}
        refusals = 0
        while refusals < CANCEL_REFUSALS_MAX:
            if client_order_id not in self._account.orders:
                return
            try:
                if self.api.is_ready:
                    state = _decode(await self.api.call("order.cancel", params), OrderState)
                    await self._take_answer(definition, client_order_id, state)
                    refusals += 1  # it is open still
            except VenueError as error:
                outcome = outcome_of(error)
                refusals += outcome == Outcome.REFUSED
                if outcome == Outcome.GONE:
                    await self._ask_until_known(definition, client_order_id)  # it has ended by itself
                else:
                    await self._note_failure(f"cancel of order {client_order_id}", error)
            if client_order_id in self._account.orders:
                await asyncio.sleep(ASK_AGAIN_S)
        self._stop(f"order {client_order_id} could not be cancelled")

    async def keep_countdown(self, countdown_ms: int) -> None:
        """Have USD-M cancel what is open should we fall silent for so long: tell it again in a third of that time."""
        while True:
            if self.is_whole:
                for definition in self._definitions():
                    if any(self._is_of(each, definition) for each in self._account.orders):
                        params = {"symbol": definition.symbol, "countdownTime": countdown_ms}
                        try:
                            await self._send("POST", COUNTDOWN_PATH, params, COUNTDOWN_WEIGHT)
                        except VenueError as error:
                            await self._note_failure("countdown", error)
            await asyncio.sleep(countdown_ms / 3_000)

    # What the venue says by itself.

    def _take_event(self, payload: bytes) -> None:
        head = _decode(payload, EventHead)
        if head.e == "listenKeyExpired":
            raise VenueError("the listen key has expired")
        if head.e not in ("executionReport", "ORDER_TRADE_UPDATE"):
            self._shared.log.count("events of the account that say nothing of orders")
            return
        event = _decode(payload if head.e == "executionReport" else bytes(head.o), OrderEvent)
        definition = self._shared.definitions.table.get((self.market, event.symbol))
        if definition is None:
            self._shared.log.count("events of symbols that are not configured")
            return
        try:
            self._take_order_event(definition, event)
        except ContradictionError as error:
            self._stop(str(error))
        except Exception as error:  # a fault of ours: what this event did is not known
            self._stop(f"an event of {definition.name} could not be taken up: {one_line(error)}")

    def _take_order_event(self, definition: Definition, event: OrderEvent) -> None:
        number = client_order_id_of(self._account.begun_ns, event.id_text)
        self._take_terms(definition, number, event)
        try:
            self._tell(self._heard(definition, number, event))
        except TradesMissingError:
            self._start(self._fetch_missing(definition, number, event.order_id))

    def _take_terms(self, definition: Definition, number: int, event: OrderEvent) -> None:
        """Take up the terms that an event tells of an order, if it happened since others were asked for."""
        order = self._account.orders.get(number)
        if order is None or order.amend is None or not event.price or not event.qty:
            return
        clock = self._shared.clocks[self.market]
        asked_ms = (order.amend.time_ns + clock.offset_ns - clock.error_ns) // NS_PER_MS
        if event.time >= asked_ms:
            terms = ticks_of(definition, event.price), lots_of(definition, event.qty)
            self._tell(self._account.terms(number, *terms, event.time * NS_PER_MS))

    def _heard(self, definition: Definition, number: int, event: OrderEvent) -> list[Told]:
        """Take an event up; what is new to the engine. TradesMissingError: trades before it were not told."""
        if event.execution in TRADE_EXECUTIONS:
            commission, asset = event.commission or "0", event.commission_asset or ""
            charged_e9 = self._fee_e9(definition, commission, asset, ticks_of(definition, event.last_price))
            return self._account.trade(trade_of_event(definition, number, event, charged_e9))
        time_ns = event.time * NS_PER_MS
        if number not in self._account.orders:
            self._shared.log.count("events of orders that have ended, or are not ours")
        elif event.status in OPEN_STATUSES:
            return self._account.acknowledge(number, event.order_id, time_ns)
        elif event.status in ENDED_STATUSES:
            executed_lots = lots_of(definition, event.executed_qty)
            return self._account.end(number, event.order_id, executed_lots, ENDED_STATUSES[event.status], time_ns)
        return []

    async def _fetch_missing(self, definition: Definition, client_order_id: int, venue_order_id: int) -> None:
        """Ask for an order's trades, some of which were not told, and then for the order itself."""
        while True:
            try:
                self._tell(
                    self._account.acknowledge(
                        client_order_id, venue_order_id, self._shared.clocks[self.market].clock_ns()
                    )
                )
                await self._fetch_trades(definition, venue_order_id)
                if client_order_id in self._account.orders:
                    await self._ask_until_known(definition, client_order_id)
                return
            except VenueError as error:
                await self._note_failure(f"trades of order {client_order_id}", error)
                await asyncio.sleep(ASK_AGAIN_S)

    def _fee_e9(self, definition: Definition, commission: str, asset: str, price_ticks: int) -> int:
        """Convert a fee; one in a third currency by its configured price, else 0 and counted."""
        charged_e9 = fee_e9(definition, commission, asset, price_ticks)
        if charged_e9 is not None:
            return charged_e9
        price = self._fee_prices.get(asset)
        if price is None:
            self._shared.log.count(f"fills whose fee in {plain(asset)} has no price: give it in orders.fee_prices")
            return 0
        return to_e9(commission, "commission") * price // E9

    # Small things.

    def _id_text(self, client_order_id: int) -> str:
        return order_id_text(self._account.begun_ns, client_order_id)

    async def _get(self, path: str, params: dict[str, Any], weight: int, kind: type[DecodedT]) -> DecodedT:
        return _decode(await self._send("GET", path, params, weight), kind)

    async def _send(self, method: str, path: str, params: dict[str, Any], weight: int) -> bytes:
        headers = {"X-MBX-APIKEY": self._signer.api_key}
        query = self._signer.sign_query(self.api.timed(params))
        return await self._shared.rest[self.market].request(method, f"{path}?{query}", weight, headers)

    def _start(self, work: Any) -> asyncio.Task[None]:
        """Do something beside; a contradiction in it stops everything."""
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except ContradictionError as error:
            self._stop(str(error))
        except Exception as error:  # a fault of ours, or a journal that can't be written: what was done is not known
            self._stop(one_line(error))


def _decode(body: bytes, kind: type[DecodedT]) -> DecodedT:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnansweredError(f"an answer that can't be read: {plain(str(error))}") from None
