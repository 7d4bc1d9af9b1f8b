"""`[venue.starbase]`: what a configuration says of this venue alone."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from crosswire.venues.credentials import Credentials, load_credentials
from crosswire.venues.starbase.rest.address import parse_address

MADE_UP = Credentials("simulated", b"simulated")


class MarketSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Everybody else at the simulated exchange: seeded, the same in every run."""

    seed: int  # the same one makes the same market
    seconds: float  # how long the venue is open
    first_price: dict[str, Decimal] = {}  # by symbol; of every instrument, without `follow`
    events_per_second: float  # orders that are added, changed or taken
    volatility_ticks: float  # deviation of the price over a second
    half_spread_ticks: int  # of a calm market
    depth_ticks: int  # how far behind the top orders are added
    lots: int  # typical order
    follow: str = ""  # "venue/symbol" whose captured price is followed instead of walking
    follow_delay_ms: int = 0  # how long after the followed price
    begin: datetime = datetime(2026, 1, 1, tzinfo=UTC)  # without `follow`
    heartbeat_s: int = 5  # between two on a silent feed
    snapshot_interval_ms: int = 1_000  # between two rounds of snapshots
    two_lines: bool = True  # market data on feeds A and B
    # When an order gets the number that its place in the queue goes by: as it comes to rest (announced, on the test
    # venue since autumn 2026), or as it is accepted, so that one released from the speed bump is before younger ones.
    sorts_orders_at: Literal["rest", "accept"] = "rest"
    # Market maker protection of `mmp_group_id`: what may be traded within a window before all quotes are withdrawn.
    mmp_limit_lots: int = 1_000_000
    mmp_window_ms: int = 1_000  # how long a window is
    mmp_freeze_ms: int = 1_000  # 0: until it is reset


class StarbaseSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The order session, and the exchange that is simulated. Rates as the venue's page has them, in its tokens."""

    credentials: str = ""  # file with client_id and secret; "": made-up ones, for simulated exchanges only
    self_match_prevention_id: int = 0  # orders of ours with the same one do not trade with each other; 0: none
    # What the venue does where two orders of ours would meet.
    self_trading_mode: Literal["cancel_taker", "cancel_maker"] = "cancel_taker"
    mmp_group_id: int = 0  # market maker protection group of mass quotes, as agreed with the venue
    # New orders under their currency pair's market maker protection, which the venue lets pass without its risk engine.
    # Its group's quantity limit may be no more than its maximal quote quantity: no message says either, so that a wrong
    # group shows as orders refused.
    mmp_risk_bypass: bool = False
    tokens_per_ms: int = 100  # how fast the bucket of orders and cancels fills
    token_burst: int = 100_000  # what that bucket holds
    quote_tokens_per_ms: int = 20  # mass quotes have a bucket of their own
    quote_token_burst: int = 20_000  # what theirs holds
    # Our account by another way than the session: "https://host:port" of the venue's REST order gateways A and B, the
    # latter for when A gives no answer. "": there is none. With http, on loopback, the simulated exchange is there.
    rest: str = ""
    rest_b: str = ""  # gateway B's
    rest_ca: str = ""  # file with the authority of their certificates; "": the system's authorities
    positions: str = ""  # of the venue's classic API: Starbase's tells no positions
    positions_credentials: str = ""  # file with a key of the classic API, which Starbase's is not
    market: MarketSettings | None = None  # what a simulated exchange needs

    def __post_init__(self) -> None:
        """Refuse addresses that are none, or that a key would be sent to in the clear."""
        for key in ("rest", "rest_b", "positions"):
            text = getattr(self, key)
            if text and parse_address(text, key).is_encrypted and not self.credentials:
                raise ValueError(f"{key} = {text}: a venue takes no made-up key: set credentials")
        needs = {"rest_b": "rest", "rest_ca": "rest", "positions": "rest", "positions_credentials": "positions"}
        for key, needed in needs.items():
            if getattr(self, key) and not getattr(self, needed):
                raise ValueError(f"{key} is set, but {needed} is not")
        if self.rest_b and parse_address(self.rest_b, "rest_b") == parse_address(self.rest, "rest"):
            raise ValueError(f"rest_b = {self.rest_b} is rest: name gateway B's address, or leave it out")
        if self.positions and not self.positions_credentials:
            raise ValueError("positions is set, but positions_credentials is not: it takes a key of its own")


def credentials_of(settings: StarbaseSettings, folder: Path) -> Credentials:
    """Load the venue's API key; a made-up one where none is configured, which only a simulated exchange takes."""
    return load_credentials(folder / settings.credentials) if settings.credentials else MADE_UP
