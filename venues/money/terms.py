"""What a configuration says about money beside trades: an instrument's own costs, and the account it is held in."""

from decimal import Decimal
from typing import Literal

import msgspec

from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.margin import MarginBracket, SizeMargin
from crosswire.venues.money.tiers import FeeTier

OFF = "off"  # in place of a schedule: it is known that there is none, or not wanted


class InstrumentMoney(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What holding an instrument costs: the table [venue.instrument.money]. What does not fit its kind is refused."""

    funding: str = ""  # perpetual: file of a schedule, see `funding.read_funding`; "off": none; "": not known
    funding_scheme: Literal["at_times", "continuous"] = "at_times"  # continuous: a rate holds until the next, for 8 h
    borrow_rate_daily: Decimal | None = None  # spot: fraction of what is held short; None: not known
    delivery_price: Decimal | None = None  # future: quote currency; None: the mean of its own mid
    delivery_fee_bps: Decimal = Decimal(0)  # of a future that is held to its end
    margin_brackets: list[MarginBracket] = []  # one of these two, or neither: then no margin is computed
    margin_by_size: SizeMargin | None = None  # Deribit's rule; instead of brackets


class HoldingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What holding one instrument costs, with its schedule read. None: not known."""

    funding: list[FundingRate] | None = None  # of the run's time, and the last one before it; []: none
    is_continuous: bool = False
    borrow_rate_daily: Decimal | None = None
    delivery_price_e9: int | None = None
    delivery_fee_bps: Decimal = Decimal(0)
    margin_brackets: list[MarginBracket] = []
    margin_by_size: SizeMargin | None = None


class AccountConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The account at a venue: the table [venue.account]."""

    balance: dict[str, Decimal] = {}  # at the start, by settlement currency; {}: margin is off
    fee_tiers: list[FeeTier] = []  # of instruments that have no fees of their own
    volume_30d: Decimal = Decimal(0)  # traded in the 30 days before the run, quote currency
