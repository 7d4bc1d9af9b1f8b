"""Our account as the venue's REST interfaces have it: what their answers say, in lots and ticks, exact or not at all.

Open orders are Starbase's own to tell, gateway A, or B if A gives no answer. The quotes of mass quotes are not among
them. Starbase tells no positions: the venue's classic API does, with a key of its own, if it is configured.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from crosswire.venues.adapter import OpenOrder, ToldAccount, VenueSetup
from crosswire.venues.credentials import Credentials, load_credentials
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff
from crosswire.venues.side import BUY, SELL, sign_of
from crosswire.venues.starbase.rest.address import parse_address
from crosswire.venues.starbase.rest.client import NoAnswerError, RestClient, basic_key, make_context
from crosswire.venues.starbase.settings import StarbaseSettings, credentials_of

OPEN_ORDERS = "/api/v2/private/get_open_orders"
AUTHENTICATE = "/api/v2/public/auth"
POSITIONS = "/api/v2/private/get_positions"
DIGITS_MAX = 40  # of a number: more is refused before it is calculated with
I64_MAX = (1 << 63) - 1
SIDES = {"buy": BUY, "sell": SELL}

InstrumentName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
OrderId = Annotated[str, msgspec.Meta(pattern=r"\A[1-9][0-9]{0,18}\Z")]  # the binary protocol's, in decimal


class RestOrder(msgspec.Struct):
    """One order of get_open_orders: the fields that matter here."""

    order_id: OrderId
    instrument_name: InstrumentName
    side: Literal["buy", "sell"]
    price: Decimal
    amount: Decimal  # as it was sent or last amended
    filled_amount: Decimal
    order_state: Literal["open", "speed_bumped"]
    instrument_id: int | None = None  # since 2026-09-22


class RestPosition(msgspec.Struct):
    """One position of get_positions."""

    instrument_name: InstrumentName
    direction: Literal["buy", "sell", "zero"]
    size: Decimal  # of futures in the quote currency, of options in the base coin
    size_currency: Decimal | None = None  # of futures in the base coin


class RestToken(msgspec.Struct):
    """What the classic API gives for a key."""

    access_token: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]


Instruments = Mapping[str, Instrument]


def own_instruments(setup: VenueSetup, symbols: Sequence[str]) -> Instruments:
    """Find the venue's instruments by symbol. VenueError: the feed has not defined one yet."""
    found = {}
    for index, symbol in enumerate(symbols):
        instrument = setup.market.instruments[index]
        if instrument.venue != setup.number:
            continue
        if instrument.venue_id < 0:
            raise VenueError(f"{symbol}: the market data has not defined it yet")
        found[symbol] = instrument
    return found


def whole(number: Decimal, unit_e9: int, what: str, unit: str) -> int:
    """Count the units of 1e-9 * `unit_e9` in a number. ValueError: not a whole one, or it fits no int64."""
    parts = number.as_tuple()
    if not number.is_finite() or len(parts.digits) > DIGITS_MAX or not -DIGITS_MAX <= int(parts.exponent) <= DIGITS_MAX:
        raise ValueError(f"{what} is out of range")
    count = Fraction(number) * E9 / unit_e9
    if count.denominator != 1:
        raise ValueError(f"{what} = {number} is no whole number of {unit}s of {Decimal(unit_e9) / E9}")
    if abs(count.numerator) > I64_MAX:
        raise ValueError(f"{what} = {number} is out of range")
    return count.numerator


def read_orders(orders: Iterable[RestOrder], instruments: Instruments, strangers: set[str]) -> list[OpenOrder]:
    """Convert open orders; add instruments that are not ours to `strangers`. ValueError names the order."""
    result = []
    seen: set[int] = set()
    for each in orders:
        number, where = int(each.order_id), f"order {each.order_id}"
        if number > I64_MAX:
            raise ValueError(f"{where}: order_id is out of range")
        if number in seen:
            raise ValueError(f"{where} is told twice")
        seen.add(number)
        instrument = instruments.get(each.instrument_name)
        if instrument is None:
            strangers.add(each.instrument_name)
            continue
        where = f"{where} of {each.instrument_name}"
        if each.instrument_id is not None and each.instrument_id != instrument.venue_id:
            raise ValueError(f"{where}: instrument_id = {each.instrument_id}, by its definition {instrument.venue_id}")
        qty_lots = whole(each.amount, instrument.lot_e9, f"{where}: amount", "lot")
        filled_lots = whole(each.filled_amount, instrument.lot_e9, f"{where}: filled_amount", "lot")
        if not 0 <= filled_lots < qty_lots:
            raise ValueError(f"{where} is open with amount = {each.amount}, filled_amount = {each.filled_amount}")
        price_ticks = whole(each.price, instrument.tick_e9, f"{where}: price", "tick")
        result.append(OpenOrder(number, int(instrument.index), SIDES[each.side], price_ticks, qty_lots - filled_lots))
    return result


def read_positions(positions: Iterable[RestPosition], instruments: Instruments, strangers: set[str]) -> dict[int, int]:
    """Convert positions; add instruments that are not ours to `strangers`. ValueError names the position."""
    result: dict[int, int] = {}
    seen: set[str] = set()
    for each in positions:
        where = f"position in {each.instrument_name}"
        if each.instrument_name in seen:
            raise ValueError(f"{where} is told twice")
        seen.add(each.instrument_name)
        instrument = instruments.get(each.instrument_name)
        if instrument is None:
            if each.size != 0:
                strangers.add(each.instrument_name)
            continue
        in_base = instrument.payoff == Payoff.LINEAR and instrument.kind != Kind.OPTION
        key, size = ("size_currency", each.size_currency) if in_base else ("size", each.size)
        if size is None:
            raise ValueError(f"{where}: {key} is missing")
        lots = whole(size, instrument.lot_e9, f"{where}: {key}", "lot")
        # Whether a short position's size is negative is not documented: its direction says what it is.
        is_contradiction = (lots < 0 and each.direction == "buy") or (lots == 0) != (each.direction == "zero")
        if is_contradiction:
            raise ValueError(f"{where}: {key} = {size}, direction = {each.direction} contradict each other")
        if lots != 0:
            result[int(instrument.index)] = sign_of(SIDES[each.direction]) * abs(lots)
    return result


class RestAccount:
    """What the configured interfaces say of the account."""

    def __init__(self, setup: VenueSetup, symbols: Sequence[str]) -> None:
        """Read keys and authorities, find the hosts. ValueError, VenueError: a line that begins with the key."""
        settings: StarbaseSettings = setup.settings
        self.setup = setup
        self.symbols = symbols
        key = credentials_of(settings, setup.folder)
        self.authorization = basic_key(key.client_id, key.secret)
        texts = {"rest": settings.rest, "rest_b": settings.rest_b}
        authorities = setup.folder / settings.rest_ca if settings.rest_ca else None
        self.gateways = [
            make_client(text, f"starbase.{name}", key, authorities) for name, text in texts.items() if text
        ]
        self.positions: RestClient | None = None
        if settings.positions:
            for index, symbol in enumerate(symbols):
                instrument = setup.market.instruments[index]
                if instrument.venue == setup.number and instrument.kind == Kind.SPOT:
                    raise ValueError(f"starbase.positions: tells nothing of spot, and {symbol} is spot: leave it out")
            classic = load_credentials(setup.folder / settings.positions_credentials)
            self.token_request = token_request(classic)
            self.positions = make_client(settings.positions, "starbase.positions", classic, None)

    @property
    def name(self) -> str:
        """Say who is asked."""
        addresses = [str(each.address) for each in (*self.gateways, self.positions) if each is not None]
        return f"REST at {', '.join(dict.fromkeys(addresses))}"

    @property
    def tells_positions(self) -> bool:
        """Tell whether the interface that tells positions is configured."""
        return self.positions is not None

    def fetch(self) -> ToldAccount:
        """Ask for open orders and positions, one after the other. VenueError: one line."""
        instruments = own_instruments(self.setup, self.symbols)
        strangers: set[str] = set()
        asked, orders = self._orders()
        try:
            open_orders = read_orders(orders, instruments, strangers)
            position_lots = None
            if self.positions is not None:
                asked = self.positions
                position_lots = read_positions(self._positions(asked), instruments, strangers)
        except ValueError as error:
            raise VenueError(f"{asked.address}: {asked.shown(str(error))}") from None
        for each in (*self.gateways, asked):
            strangers = {each.shown(name) for name in strangers}
        return ToldAccount(position_lots, open_orders, sorted(strangers))

    def _orders(self) -> tuple[RestClient, list[RestOrder]]:
        """Ask gateway A, and B if that one gives no answer."""
        failures = []
        for each in self.gateways:
            try:
                return each, each.get(OPEN_ORDERS, self.authorization, list[RestOrder])
            except NoAnswerError as error:
                failures.append(str(error))
        raise NoAnswerError("; ".join(failures))

    def _positions(self, asked: RestClient) -> list[RestPosition]:
        token = asked.post(AUTHENTICATE, self.token_request, RestToken).access_token
        return asked.get(f"{POSITIONS}?currency=any", f"Bearer {token}", list[RestPosition])


def token_request(key: Credentials) -> bytes:
    """Write the request of a token. In a body: an address is written to logs."""
    parameters = {
        "grant_type": "client_credentials",
        "client_id": key.client_id,
        "client_secret": key.secret.decode(),
    }
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "public/auth", "params": parameters})


def make_client(text: str, key: str, credentials: Credentials, authorities: Path | None) -> RestClient:
    """Make the client of one interface. ValueError, VenueError: a line that begins with its key."""
    address = parse_address(text, key)
    secret = credentials.secret.decode()
    secrets = (secret, basic_key(credentials.client_id, credentials.secret).partition(" ")[2])
    try:
        return RestClient(address, make_context(authorities) if address.is_encrypted else None, secrets)
    except VenueError as error:
        raise VenueError(f"{key}: {error}") from None


def make_account_source(setup: VenueSetup, symbols: Sequence[str]) -> RestAccount | None:
    """Make the source of the account, if an interface is configured. ValueError, VenueError as `RestAccount`."""
    return RestAccount(setup, symbols) if setup.settings.rest else None
