"""What holding cost a whole run, and how near its accounts came to a margin call: read from the run's files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from crosswire.engine.build.money import AccountTerms, MoneyTerms
from crosswire.engine.report.account import Carried
from crosswire.engine.report.charge_rows import steps_of, write_charges
from crosswire.engine.report.charges import Charge, ChargeKind, Held, charges_of
from crosswire.engine.report.columns import Values, read_columns, read_table
from crosswire.engine.report.grid import Steps, read_grids
from crosswire.engine.report.margins import AccountSamples, MarginSummary, margin_of
from crosswire.engine.report.recorder import FILLS, POSITIONS, InstrumentInfo, make_instrument
from crosswire.nic.warning import DataWarning
from crosswire.risk.limits import to_e9
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.instrument import E9, Kind, fee_e9
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.money.tiers import RollingVolume, tier_at

FILL_COLUMNS = ["exchange_time_ns", "instrument", "price_ticks", "qty_lots", "notional_e9", "fee_e9", "is_maker"]


@dataclass(frozen=True)
class HoldingCosts:
    """The costs of a run, in order of time."""

    charges: list[Charge]
    margins: list[MarginSummary]
    warnings: list[DataWarning]

    def paid_e9(self, instrument: int) -> int:
        """Sum what one instrument's position cost."""
        return sum(charge.amount_e9 for charge in self.charges if charge.instrument == instrument)

    def by_kind_e9(self, instruments: Sequence[int]) -> dict[str, int]:
        """Sum by kind over instruments of one settlement currency."""
        sums: dict[str, int] = {}
        for charge in self.charges:
            if charge.instrument in instruments:
                sums[charge.kind] = sums.get(charge.kind, 0) + charge.amount_e9
        return sums


def read_holding(
    directory: Path,
    infos: list[InstrumentInfo],
    money: MoneyTerms,
    range_ns: tuple[int, int],
    carried: Mapping[int, Carried],
) -> HoldingCosts:
    """Compute everything, and write the charges beside the run's other files."""
    fills = read_table(directory / FILLS, [*FILL_COLUMNS, "position_lots"])
    mids = _mids(directory / POSITIONS, infos)
    charges: list[Charge] = []
    warnings: list[DataWarning] = []
    for info in infos:
        own = fills["instrument"] == info.index
        held = Held(
            info=info,
            first_ns=range_ns[0],
            last_ns=range_ns[1],
            # One that was told again behind later ones counts from theirs on: positions are those that the run booked.
            changed_ns=np.maximum.accumulate(fills["exchange_time_ns"][own].astype(np.int64)),
            position_lots=fills["position_lots"][own].astype(np.int64),
            start_lots=carried[info.index].lots if info.index in carried else 0,
            mid_ns=mids[info.index][0],
            mid_e9=mids[info.index][1],
        )
        cost, told = charges_of(held, money.holding.get(info.name, HoldingTerms()))
        charges += cost
        warnings += told
    for venue, account in money.accounts.items():
        if account.tiered:
            charges += _tier_charges(venue, account, infos, fills, range_ns[0])
    charges.sort(key=lambda charge: (charge.time_ns, charge.instrument))
    margins, told = _margins(directory / POSITIONS, infos, money, steps_of(charges))
    write_charges(directory, charges, infos)
    return HoldingCosts(charges, margins, warnings + told)


def _mids(path: Path, infos: list[InstrumentInfo]) -> list[tuple[Values, Values]]:
    """List each instrument's sampled mids: times in ns, and 1e-9 of the quote currency."""
    parts: list[list[tuple[Values, Values]]] = [[] for _ in infos]
    for rows in read_columns(path, ["time_ns", "instrument", "valid", "bid_ticks", "ask_ticks"]):
        priced = rows["valid"] & (rows["bid_ticks"] != NO_BID) & (rows["ask_ticks"] != NO_ASK)
        for info in infos:
            own = priced & (rows["instrument"] == info.index)
            mid_e9 = (rows["bid_ticks"][own] + rows["ask_ticks"][own]) * info.tick_e9 // 2
            parts[info.index].append((rows["time_ns"][own], mid_e9))
    empty = np.empty(0, np.int64)
    return [
        (np.concatenate([empty, *(part[0] for part in own)]), np.concatenate([empty, *(part[1] for part in own)]))
        for own in parts
    ]


def _tier_charges(
    venue: str, account: AccountTerms, infos: list[InstrumentInfo], fills: dict[str, Values], first_ns: int
) -> list[Charge]:
    """Charge what the fees of a later day's tier differ from those of the run's first day, which the fills paid."""
    volume = RollingVolume(account.volume_30d, first_ns)
    first = tier_at(account.fee_tiers, account.volume_30d)
    charges = []
    own = {info.index: info for info in infos if info.venue == venue}
    rows = zip(*(fills[name].tolist() for name in FILL_COLUMNS), strict=True)
    for time_ns, index, price_ticks, qty_lots, notional_e9, fee, is_maker in rows:
        if index not in own:
            continue
        tier = tier_at(account.fee_tiers, volume.at(time_ns))
        volume.add(time_ns, Decimal(notional_e9) / E9)
        if tier == first or own[index].name not in account.tiered:
            continue
        instrument = make_instrument(own[index])
        instrument.maker_fee_e9 = to_e9(tier.maker_fee_bps / 10_000, f"{venue}: maker_fee_bps")
        instrument.taker_fee_e9 = to_e9(tier.taker_fee_bps / 10_000, f"{venue}: taker_fee_bps")
        rate = tier.maker_fee_bps if is_maker else tier.taker_fee_bps
        charges.append(
            Charge(
                time_ns=time_ns,
                instrument=index,
                kind=ChargeKind.FEE_TIER,
                amount_e9=fee_e9(instrument, price_ticks, qty_lots, int(is_maker)) - fee,
                position_lots=qty_lots,
                price_e9=price_ticks * own[index].tick_e9,
                rate=rate / 10_000,
            )
        )
    return charges


def _margins(
    path: Path, infos: list[InstrumentInfo], money: MoneyTerms, charges: Steps
) -> tuple[list[MarginSummary], list[DataWarning]]:
    """Hold each account that has a balance against its margin, by settlement currency."""
    wanted = [
        (venue, currency, balance, [info for info in infos if _has_margin(info, venue, currency)])
        for venue, account in money.accounts.items()
        for currency, balance in account.balance.items()
    ]
    if not wanted:
        return [], []
    times, grids = [], []
    for time_ns, grid in read_grids(path, len(infos), charges):
        times.append(time_ns)
        grids.append(grid)
    if not times:
        return [], []
    names = ("position_base", "middle", "marked_e9")
    whole = {name: np.concatenate([grid[name] for grid in grids]) for name in names}
    summaries, warnings = [], []
    for venue, currency, balance, own in wanted:
        places = [info.index for info in own]
        earned = whole["marked_e9"][:, places] / E9
        samples = AccountSamples(
            time_ns=np.concatenate(times),
            equity_change=(earned - earned[0]).sum(axis=1),
            infos=own,
            size=[_size(info, whole) for info in own],
            mid=[whole["middle"][:, place] for place in places],
        )
        terms = {info.index: money.holding.get(info.name, HoldingTerms()) for info in own}
        summary, told = margin_of(samples, terms, venue, currency, balance)
        summaries.append(summary)
        warnings += told
    return summaries, warnings


def _size(info: InstrumentInfo, whole: Mapping[str, Values]) -> Values:
    """Tell an instrument's sampled positions in its size currency."""
    base = whole["position_base"][:, info.index]
    return np.where(base == 0, 0.0, base * whole["middle"][:, info.index]) if info.is_inverse else base


def _has_margin(info: InstrumentInfo, venue: str, currency: str) -> bool:
    return info.venue == venue and info.settlement == currency and info.kind != Kind.SPOT
