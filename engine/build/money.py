"""What a run's positions cost beside their trades, read from its configuration before it begins."""

from decimal import Decimal
from pathlib import Path

import msgspec

from crosswire.engine.build.market import instrument_names
from crosswire.engine.config import ConfigError, InstrumentConfig, RunConfig, VenueConfig
from crosswire.engine.paths import named_path
from crosswire.risk.limits import to_e9
from crosswire.venues.errors import VenueError
from crosswire.venues.money.funding import read_funding
from crosswire.venues.money.margin import check_brackets
from crosswire.venues.money.terms import OFF, HoldingTerms, InstrumentMoney
from crosswire.venues.money.tiers import FeeTier, check_tiers

# What fits which kind of instrument; margin fits all but spot.
ONLY_OF = {
    "funding": "perpetual",
    "funding_scheme": "perpetual",
    "borrow_rate_daily": "spot",
    "delivery_price": "future",
    "delivery_fee_bps": "future",
}
MARGIN = ("margin_brackets", "margin_by_size")
RATE_DAILY_MAX = Decimal("0.1")  # 10 % a day: far above any; a rate in percent is not


class AccountTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's account."""

    balance: dict[str, Decimal] = {}
    fee_tiers: list[FeeTier] = []
    volume_30d: Decimal = Decimal(0)
    tiered: list[str] = []  # "venue/symbol" of the instruments whose fees are the tier's


class MoneyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of it."""

    holding: dict[str, HoldingTerms] = {}  # by "venue/symbol"
    accounts: dict[str, AccountTerms] = {}  # by venue

    def between(self, first_ns: int, last_ns: int) -> "MoneyTerms":
        """Keep what bears on a run's time: of a schedule its payments then, and the one before."""
        holding = {name: _cut(terms, first_ns, last_ns) for name, terms in self.holding.items()}
        return msgspec.structs.replace(self, holding=holding)


def _cut(terms: HoldingTerms, first_ns: int, last_ns: int) -> HoldingTerms:
    if not terms.funding:
        return terms
    begun = [place for place, payment in enumerate(terms.funding) if payment.time_ns <= first_ns]
    kept = [payment for payment in terms.funding[max(begun, default=0) :] if payment.time_ns <= last_ns]
    # A schedule that ends before the run knows nothing of it.
    return msgspec.structs.replace(terms, funding=kept or None)


def read_money(config: RunConfig, config_path: Path) -> MoneyTerms:
    """Read and check all of it; ConfigError in one line."""
    names = iter(instrument_names(config))
    holding, accounts = {}, {}
    for venue in config.venue:
        tiered = []
        for each in venue.instrument:
            name = next(names)
            holding[name] = _holding(each, name, config_path)
            if each.taker_fee_bps is None:
                tiered.append(name)
        accounts[venue.name] = _account(venue, tiered, config_path)
    return MoneyTerms(holding=holding, accounts=accounts)


def _holding(instrument: InstrumentConfig, name: str, config_path: Path) -> HoldingTerms:
    money = instrument.money
    where = f"{config_path}: {name}: money"
    _check_kind(money, instrument.kind, where)
    try:
        if money.margin_brackets:
            check_brackets(money.margin_brackets)
        schedule = named_path(config_path.parent, money.funding)
        funding = None if not money.funding else [] if money.funding == OFF else read_funding(schedule)
    except (ValueError, VenueError) as error:
        raise ConfigError(f"{where}: {error}") from None
    if money.borrow_rate_daily is not None and not 0 <= money.borrow_rate_daily <= RATE_DAILY_MAX:
        raise ConfigError(f"{where}: borrow_rate_daily = {money.borrow_rate_daily}: give a fraction, as 0.0002")
    price = money.delivery_price
    if price is not None and price <= 0:
        raise ConfigError(f"{where}: delivery_price = {price}: must be above 0")
    return HoldingTerms(
        funding=funding,
        is_continuous=money.funding_scheme == "continuous",
        borrow_rate_daily=money.borrow_rate_daily,
        delivery_price_e9=None if price is None else to_e9(price, f"{where}: delivery_price"),
        delivery_fee_bps=money.delivery_fee_bps,
        margin_brackets=money.margin_brackets,
        margin_by_size=money.margin_by_size,
    )


def _check_kind(money: InstrumentMoney, kind: str, where: str) -> None:
    """Refuse what an instrument of this kind can't cost: it would be left out without a word."""
    unset = InstrumentMoney()
    given = [key for key in InstrumentMoney.__struct_fields__ if getattr(money, key) != getattr(unset, key)]
    for key in given:
        if ONLY_OF.get(key, kind) != kind:
            raise ConfigError(f"{where}.{key}: is of a {ONLY_OF[key]}, and this is a {kind}; leave it out")
        if key in MARGIN and kind == "spot":
            raise ConfigError(f"{where}.{key}: spot has no margin; leave it out")
    if all(key in given for key in MARGIN):
        raise ConfigError(f"{where}: margin_brackets and margin_by_size: give one of them")


def _account(venue: VenueConfig, tiered: list[str], config_path: Path) -> AccountTerms:
    account, where = venue.account, f"{config_path}: venue {venue.name}: account"
    if account.fee_tiers:
        try:
            check_tiers(account.fee_tiers)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
    if account.volume_30d < 0:
        raise ConfigError(f"{where}: volume_30d = {account.volume_30d}: must not be negative")
    settlements = {each.settlement for each in venue.instrument if each.kind != "spot"}
    for currency, amount in account.balance.items():
        if amount <= 0:
            raise ConfigError(f"{where}: balance.{currency} = {amount}: must be above 0")
        if currency not in settlements:
            raise ConfigError(f"{where}: balance.{currency}: no derivative here is settled in {currency}; leave it out")
    return AccountTerms(
        balance=account.balance, fee_tiers=account.fee_tiers, volume_30d=account.volume_30d, tiered=tiered
    )
