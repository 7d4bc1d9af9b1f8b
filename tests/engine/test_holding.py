"""What holding costs, in the summary of a whole run: held against the run's own files, added up by other means."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from crosswire.engine.build.money import AccountTerms, MoneyTerms
from crosswire.engine.report.charge_rows import read_steps
from crosswire.engine.report.compare import marked_curves
from crosswire.engine.report.holding import read_holding
from crosswire.engine.report.series import read_samples
from crosswire.engine.report.summary import RunSummary, read_summary
from crosswire.nic.duration import NS_PER_S
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.margin import MarginBracket
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.money.tiers import NS_PER_DAY, FeeTier
from tests.support.synthetic_run import START_NS, SyntheticRun

PERPETUAL, INVERSE = "binance/BTCUSDT-PERP", "deribit/BTC-PERPETUAL"
STEPS = 300  # of 100 ms
NOT_KNOWN = MoneyTerms()


def play(folder: Path, money: MoneyTerms, step_ns: int = 100_000_000) -> RunSummary:
    run = SyntheticRun(folder / "run")
    assert {PERPETUAL, INVERSE} < {info.name for info in run.instruments}
    run.play(STEPS, step_ns)
    return run.finish(money=money, first_time_ns=START_NS, last_time_ns=run.now_ns)


def every_second(rate: str) -> HoldingTerms:
    """Pay each second, at marks of the venue's own, so that the sum can be made from the fills alone."""
    return HoldingTerms(
        funding=[
            FundingRate(time_ns=START_NS + second * NS_PER_S, rate=Decimal(rate), mark_e9=65_000 * 10**9)
            for second in range(1, STEPS // 10)
        ]
    )


def test_funding_is_what_each_seconds_position_pays(tmp_path: Path) -> None:
    before = play(tmp_path / "before", NOT_KNOWN)
    summary = play(tmp_path, MoneyTerms(holding={PERPETUAL: every_second("0.001"), INVERSE: every_second("0.001")}))
    paid: dict[str, Decimal] = {"USDT": Decimal(0), "BTC": Decimal(0)}
    fills = pyarrow.parquet.read_table(tmp_path / "run" / "fills.parquet").to_pylist()
    infos = {info.index: info for info in summary.definitions}
    held: dict[int, int] = {}
    for second in range(1, STEPS // 10):
        until_ns = START_NS + second * NS_PER_S
        held = {row["instrument"]: row["position_lots"] for row in fills if row["exchange_time_ns"] <= until_ns}
        for index, lots in held.items():
            if infos[index].name == PERPETUAL:
                paid["USDT"] += Decimal(lots * infos[index].lot_e9) / 10**9 * 65_000 / 1000
            elif infos[index].name == INVERSE:
                paid["BTC"] += Decimal(lots * infos[index].lot_e9) / 10**9 / 65_000 / 1000
    assert abs(paid["USDT"]) > 1
    for currency, amount in paid.items():
        profit = summary.pnl[currency]
        # Each payment is rounded up by less than 1e-9.
        assert 0 <= profit.charges - amount < Decimal(STEPS) * Decimal("1e-9")
        assert profit.charges_by_kind == {"funding": profit.charges}
        assert profit.net == before.pnl[currency].net - profit.charges
        assert profit.net == profit.realised + profit.locked + profit.open
        assert profit.net == profit.cash + profit.position_value - profit.fees - profit.charges
    by_instrument = {name: each.net for name, each in summary.instruments.items()}
    assert by_instrument[PERPETUAL] != before.instruments[PERPETUAL].net
    assert sum(net for name, net in by_instrument.items() if name != INVERSE) == summary.pnl["USDT"].net


def test_the_charges_are_rows_and_add_up(tmp_path: Path) -> None:
    summary = play(tmp_path, MoneyTerms(holding={PERPETUAL: every_second("0.001"), INVERSE: every_second("-0.001")}))
    rows = pyarrow.parquet.read_table(tmp_path / "run" / "charges.parquet").to_pylist()
    for currency in ("USDT", "BTC"):
        total_e9 = sum(row["amount_e9"] for row in rows if row["currency"] == currency)
        assert Decimal(total_e9) / 10**9 == summary.pnl[currency].charges
    assert rows == sorted(rows, key=lambda row: row["time"])
    assert read_summary(tmp_path / "run").pnl["BTC"].charges == summary.pnl["BTC"].charges


def test_a_fill_that_is_told_late_counts_from_when_later_ones_do(tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = play(tmp_path, NOT_KNOWN)
    fills = pyarrow.parquet.read_table(run / "fills.parquet")
    place = fills.column_names.index("exchange_time_ns")
    times_ns = fills["exchange_time_ns"].to_numpy().copy()
    index = next(info.index for info in summary.definitions if info.name == PERPETUAL)
    own = fills["instrument"].to_numpy() == index
    late_ns = times_ns[own]
    late_ns[2::3] = late_ns[0]
    charges = []
    for own_ns in (late_ns, np.maximum.accumulate(late_ns)):
        times_ns[own] = own_ns
        changed = fills.set_column(place, "exchange_time_ns", pyarrow.array(times_ns))
        pyarrow.parquet.write_table(changed, run / "fills.parquet")
        money = MoneyTerms(holding={PERPETUAL: every_second("0.001"), INVERSE: every_second("0.001")})
        range_ns = (summary.first_time_ns, summary.last_time_ns)
        charges.append(read_holding(run, summary.definitions, money, range_ns, {}).charges)
    assert charges[0] == charges[1] != []


def test_curves_count_what_was_paid_from_then_on(tmp_path: Path) -> None:
    before = play(tmp_path / "before", NOT_KNOWN)
    terms = MoneyTerms(holding={PERPETUAL: every_second("0.001"), INVERSE: every_second("-0.002")})
    after = play(tmp_path / "after", terms)
    payments = pyarrow.parquet.read_table(tmp_path / "after" / "run" / "charges.parquet")
    payments_ns = payments["time"].cast(pyarrow.int64()).to_numpy()
    curves = []
    for folder, summary in ((tmp_path / "before" / "run", before), (tmp_path / "after" / "run", after)):
        range_ns = (summary.first_time_ns, summary.last_time_ns)
        charges = read_steps(folder, summary.definitions)
        lines = read_samples(folder / "positions.parquet", summary.definitions, [], range_ns, charges)
        curves.append({currency: line.points() for currency, line in lines.net.items()})
        compared = marked_curves(folder, summary)
        for currency, (time_ns, net) in curves[-1].items():
            assert net[-1] == pytest.approx(float(summary.pnl[currency].net), abs=1e-9)
            own_ns, own_e9 = compared[currency]
            np.testing.assert_allclose(own_e9[np.searchsorted(own_ns, time_ns)] / 1e9, net, atol=1e-9)
    for currency in ("USDT", "BTC"):
        assert after.pnl[currency].charges != 0
        own = [row == currency for row in payments["currency"].to_pylist()]
        time_ns, net = curves[1][currency]
        paid = [payments["paid"].to_numpy()[own][payments_ns[own] <= each].sum() for each in time_ns.tolist()]
        np.testing.assert_allclose(curves[0][currency][1] - paid, net, atol=1e-7)


def test_an_accounts_equity_is_less_what_was_paid(tmp_path: Path) -> None:
    bracket = MarginBracket(value_min=Decimal(0), initial_rate=Decimal("0.01"), maintenance_rate=Decimal("0.004"))
    terms = HoldingTerms(funding=every_second("0.001").funding, margin_brackets=[bracket])
    accounts = {"binance": AccountTerms(balance={"USDT": Decimal(1_000_000)})}
    summary = play(tmp_path, MoneyTerms(holding={PERPETUAL: terms}, accounts=accounts))
    index = next(info.index for info in summary.definitions if info.name == PERPETUAL)
    charges = pyarrow.parquet.read_table(tmp_path / "run" / "charges.parquet")
    paid = list(zip(charges["time"].cast(pyarrow.int64()).to_pylist(), charges["amount_e9"].to_pylist(), strict=True))
    names = ["time_ns", "instrument", "cash_e9", "value_e9", "fees_e9"]
    rows = pyarrow.parquet.read_table(tmp_path / "run" / "positions.parquet", columns=names).to_pylist()
    earned = [
        row["cash_e9"] + row["value_e9"] - row["fees_e9"] - sum(e9 for at, e9 in paid if at <= row["time_ns"])
        for row in rows
        if row["instrument"] == index
    ]
    assert summary.pnl["USDT"].charges != 0
    assert float(summary.margins[0].equity_min) == pytest.approx(1e6 + (min(earned) - earned[0]) / 1e9, abs=1e-6)


def test_drawdown_counts_what_was_paid(tmp_path: Path) -> None:
    """One payment, far larger than all that the run earned: the deepest fall begins before it and ends after it."""
    payment_ns = START_NS + 29 * NS_PER_S
    before = play(tmp_path / "before", NOT_KNOWN)
    rows = pyarrow.parquet.read_table(tmp_path / "before" / "run" / "fills.parquet").to_pylist()
    index = next(info.index for info in before.definitions if info.name == PERPETUAL)
    held = [
        row["position_lots"]
        for row in rows
        if (row["instrument"], row["exchange_time_ns"] > payment_ns) == (index, False)
    ]
    rate = Decimal("0.1") if held[-1] > 0 else Decimal("-0.1")
    terms = HoldingTerms(funding=[FundingRate(time_ns=payment_ns, rate=rate, mark_e9=10**15)])
    summary = play(tmp_path, MoneyTerms(holding={PERPETUAL: terms}))
    charged, fall = summary.pnl["USDT"].charges, summary.pnl["USDT"].drawdown
    assert charged > 100 * before.pnl["USDT"].drawdown.amount
    assert abs(fall.amount - charged) <= before.pnl["USDT"].drawdown.amount
    assert fall.peak_ns < payment_ns <= fall.trough_ns


def test_what_is_not_known_is_told_by_instrument(tmp_path: Path) -> None:
    summary = play(tmp_path, NOT_KNOWN, step_ns=20 * NS_PER_S)  # 100 minutes
    told = {(warning.kind, warning.first_place.split(" at ")[0]) for warning in summary.warnings}
    assert ("times of holding a perpetual whose funding is not known", PERPETUAL) in told
    assert ("times of borrowing whose interest is not known", "binance/BTCUSDT") in told
    off = HoldingTerms(funding=[], borrow_rate_daily=Decimal(0))
    quiet = play(tmp_path / "quiet", MoneyTerms(holding=dict.fromkeys(summary.instruments, off)), 20 * NS_PER_S)
    assert [warning.kind for warning in quiet.warnings] == [
        warning.kind for warning in summary.warnings if "not known" not in warning.kind
    ]


TIERS = [
    FeeTier(volume_min=Decimal(0), maker_fee_bps=Decimal(2), taker_fee_bps=Decimal(5)),
    FeeTier(volume_min=Decimal(1_000), maker_fee_bps=Decimal(-1), taker_fee_bps=Decimal(3)),
]


def test_the_next_days_fees_are_those_of_its_tier(tmp_path: Path) -> None:
    """The first day's volume is above 1,000, so each later fill is due -1 or 3 bps and not what it was charged."""
    account = AccountTerms(fee_tiers=TIERS, tiered=[PERPETUAL])
    summary = play(tmp_path, MoneyTerms(accounts={"binance": account}), step_ns=NS_PER_DAY // 100)  # three days
    fills = pyarrow.parquet.read_table(tmp_path / "run" / "fills.parquet").to_pylist()
    names = {info.index: info.name for info in summary.definitions}
    first_day = START_NS // NS_PER_DAY
    due = Decimal(0)
    for row in fills:
        day = row["exchange_time_ns"] // NS_PER_DAY
        if names[row["instrument"]] == PERPETUAL and day > first_day:
            rate = Decimal("-0.0001") if row["is_maker"] else Decimal("0.0003")
            due += Decimal(row["notional_e9"]) / 10**9 * rate - Decimal(row["fee_e9"]) / 10**9
    assert due != 0
    assert abs(summary.pnl["USDT"].charges_by_kind["fee tier"] - due) < len(fills) * Decimal("1e-9")


@pytest.mark.parametrize(("balance", "told"), [("1", True), ("1000000", False)])
def test_margin_is_held_against_the_balance(tmp_path: Path, balance: str, told: bool) -> None:
    bracket = MarginBracket(value_min=Decimal(0), initial_rate=Decimal("0.01"), maintenance_rate=Decimal("0.004"))
    holding = {PERPETUAL: HoldingTerms(margin_brackets=[bracket])}
    accounts = {"binance": AccountTerms(balance={"USDT": Decimal(balance)})}
    summary = play(tmp_path, MoneyTerms(holding=holding, accounts=accounts))
    (margin,) = summary.margins
    kinds = {warning.kind for warning in summary.warnings}
    assert ("samples with more margin needed than there was" in kinds) == told
    index = next(info.index for info in summary.definitions if info.name == PERPETUAL)
    samples = pyarrow.parquet.read_table(tmp_path / "run" / "positions.parquet").to_pylist()
    values = [
        abs(row["position_base"]) * (row["bid"] + row["ask"]) / 2
        for row in samples
        if row["instrument"] == index and row["valid"]
    ]
    assert float(margin.initial_max) == pytest.approx(max(values) * 0.01, rel=1e-3)
    assert (margin.venue, margin.currency, margin.balance) == ("binance", "USDT", Decimal(balance))
