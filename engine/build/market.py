"""The instruments and books of a run, made from its configuration."""

from datetime import UTC, datetime, timedelta

from crosswire.engine.config import ConfigError, InstrumentConfig, RunConfig
from crosswire.nic.duration import NS_PER_US
from crosswire.nic.memory.struct import Array
from crosswire.risk.gate import UNDERLYINGS_MAX
from crosswire.risk.limits import to_e9
from crosswire.venues.book.book import make_books
from crosswire.venues.instrument import Instrument, Kind, Payoff, set_text
from crosswire.venues.market import Market
from crosswire.venues.money.terms import AccountConfig
from crosswire.venues.money.tiers import check_tiers, tier_at

LARGE_BOOK_LEVELS = 8_192  # and more: such a book takes 2 MB or more, and large pages are worth it
LARGE_BOOKS_MAX = 16  # of a run with more most are small, as options', and would take up memory for nothing
SPEED_BUMP_US_MAX = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_instruments(config: RunConfig) -> tuple[Array, list[str]]:
    """List the instruments of all venues in the order configured, and the underlyings by number."""
    terms = [(number, venue, each) for number, venue in enumerate(config.venue) for each in venue.instrument]
    instruments = Instrument.array(len(terms))
    underlyings = underlying_names(config)
    for index, (number, venue, each) in enumerate(terms):
        instrument = instruments[index]
        instrument.index = index
        instrument.venue = number
        instrument.venue_id = -1
        instrument.underlying = underlyings.index(each.underlying)
        name = f"{venue.name}/{each.symbol}"
        fill_instrument(instrument, each, name)
        set_fees(instrument, each, venue.account, name)
    if len(underlyings) > UNDERLYINGS_MAX:
        raise ConfigError(f"{len(underlyings)} underlyings: at most {UNDERLYINGS_MAX}")
    return instruments, underlyings


def fill_instrument(instrument: Instrument, terms: InstrumentConfig, name: str) -> None:
    """Fill in an instrument's terms as exact integers; ConfigError if they are not representable."""
    instrument.kind = Kind[terms.kind.upper()]
    instrument.payoff = Payoff[terms.payoff.upper()]
    for key, value in (("tick", terms.tick), ("lot", terms.lot), ("contract", terms.contract)):
        if value <= 0:
            raise ConfigError(f"{name}: {key} = {value} must be positive")
        setattr(instrument, f"{key}_e9", to_e9(value, f"{name}: {key}"))
    if instrument.payoff == Payoff.LINEAR:
        tick_lot = terms.tick * terms.lot
        instrument.tick_lot_e9 = to_e9(tick_lot, f"{name}: tick * lot")
    if not 0 <= terms.speed_bump_us <= SPEED_BUMP_US_MAX:
        raise ConfigError(f"{name}: speed_bump_us = {terms.speed_bump_us} must be in 0..{SPEED_BUMP_US_MAX}")
    instrument.speed_bump_ns = terms.speed_bump_us * NS_PER_US
    instrument.expiry_ns = expiry_ns(terms, name)
    instrument.ticks_per_unit = float(1 / terms.tick)
    instrument.lots_per_unit = float(1 / terms.lot)
    for key in ("symbol", "base", "quote", "settlement"):
        put_text(getattr(instrument, key), getattr(terms, key), f"{name}: {key}")


def expiry_ns(terms: InstrumentConfig, name: str) -> int:
    """When an instrument expires, ns since the epoch; 0: never, or it is not known. ConfigError if that can't be."""
    if terms.expiry is None:
        return 0
    if terms.kind in ("spot", "perpetual"):
        raise ConfigError(f"{name}: expiry = {terms.expiry}: a {terms.kind} has none")
    if terms.expiry.tzinfo is None:
        raise ConfigError(f"{name}: expiry = {terms.expiry}: say its time zone, as in {terms.expiry.isoformat()}Z")
    return (terms.expiry - EPOCH) // timedelta(microseconds=1) * NS_PER_US


def time_of(time_ns: int) -> datetime:
    """A time as the configuration would have it."""
    return EPOCH + timedelta(microseconds=time_ns // NS_PER_US)


def set_fees(instrument: Instrument, terms: InstrumentConfig, account: AccountConfig, name: str) -> None:
    """Set the fees: the instrument's own, or those of the account's tier when the run begins."""
    own = (terms.maker_fee_bps, terms.taker_fee_bps)
    if own == (None, None):
        try:
            check_tiers(account.fee_tiers)
        except ValueError as error:
            raise ConfigError(f"{name}: neither maker_fee_bps and taker_fee_bps nor fee tiers: {error}") from None
        tier = tier_at(account.fee_tiers, account.volume_30d)
        own = (tier.maker_fee_bps, tier.taker_fee_bps)
    for key, bps in zip(("maker_fee", "taker_fee"), own, strict=True):
        if bps is None:
            raise ConfigError(f"{name}: {key}_bps is missing: give both fees, or neither and fee_tiers")
        if abs(bps) >= 10_000:
            raise ConfigError(f"{name}: {key}_bps = {bps} is not a fee")
        setattr(instrument, f"{key}_e9", to_e9(bps / 10_000, f"{name}: {key}_bps / 10000"))


def put_text(field: Array, text: str, what: str) -> None:
    """Write zero-padded ASCII; ConfigError if the text is empty or does not fit."""
    if not text.isascii() or not 0 < len(text) <= len(field):
        raise ConfigError(f"{what} = {text} must be 1 to {len(field)} ASCII characters")
    set_text(field, text)


def make_market(config: RunConfig) -> tuple[Market, list[str]]:
    """Make the instruments with empty books, and list the underlyings by number."""
    instruments, underlyings = make_instruments(config)
    market = Market(count=len(instruments), capacity=len(instruments))
    market.instruments = instruments
    levels = level_capacity(config)
    is_large = levels >= LARGE_BOOK_LEVELS and len(instruments) <= LARGE_BOOKS_MAX
    market.books = make_books(len(instruments), levels, in_large_pages=is_large)
    return market, underlyings


def level_capacity(config: RunConfig) -> int:
    """Find how many levels each book needs room for: the most that any instrument asks for."""
    return max(each.levels_max for venue in config.venue for each in venue.instrument)


def underlying_names(config: RunConfig) -> list[str]:
    """List the underlyings of all instruments, by number."""
    return list(dict.fromkeys(each.underlying for venue in config.venue for each in venue.instrument))


def instrument_names(config: RunConfig) -> list[str]:
    """List "venue/symbol" of every instrument, by market index."""
    return [f"{venue.name}/{each.symbol}" for venue in config.venue for each in venue.instrument]
