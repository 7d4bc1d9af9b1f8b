"""What holding costs, as configured: read before the run, refused in one line, cut to the run's time."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.engine.build.market import make_instruments
from crosswire.engine.build.money import MoneyTerms, read_money
from crosswire.engine.config import ConfigError, RunConfig, load_config
from tests.support.paths import ROOT

TEXT = (ROOT / "examples" / "synthetic.toml").read_text()
LINEAR = 'symbol = "BTCUSDT"\n'
ACCOUNT = 'name = "bridge"\n'
HOUR_MS = 3_600_000


def write(folder: Path, edit: Callable[[str], str]) -> Path:
    path = folder / "run.toml"
    path.write_text(edit(TEXT))
    return path


def with_money(table: str) -> Callable[[str], str]:
    """Give the linear perpetual of the example a table [venue.instrument.money]."""
    assert TEXT.count(LINEAR) == 1
    return lambda text: text.replace(LINEAR, f"{LINEAR}money = {{ {table} }}\n")


def with_account(table: str, without_fees: bool = True) -> Callable[[str], str]:
    """Give the bridge venue an account, and take away its instrument's own fees."""
    assert TEXT.count(ACCOUNT) == 1

    def edit(text: str) -> str:
        before, own = text.split(ACCOUNT)
        if without_fees:
            own = "".join(line for line in own.splitlines(keepends=True) if "_fee_bps" not in line)
        return f"{before}{ACCOUNT}account = {{ {table} }}\n{own}"

    return edit


def read(path: Path) -> tuple[RunConfig, MoneyTerms]:
    config = load_config(path)
    return config, read_money(config, path)


def schedule(folder: Path, *hours: int) -> str:
    rows = "".join(f"{1_722_470_400_000 + hour * HOUR_MS},0.000{hour}\n" for hour in hours)
    (folder / "funding.csv").write_text(f"time,rate\n{rows}")
    return 'funding = "funding.csv"'


def test_without_tables_nothing_is_known(tmp_path: Path) -> None:
    _, money = read(write(tmp_path, lambda text: text))
    assert {terms.funding for terms in money.holding.values()} == {None}
    assert {name: terms.balance for name, terms in money.accounts.items()} == {"deribit": {}, "bridge": {}}


def test_a_schedule_is_cut_to_the_run_and_the_payment_before(tmp_path: Path) -> None:
    _, money = read(write(tmp_path, with_money(schedule(tmp_path, 1, 2, 3, 4))))
    start_ns = 1_722_470_400 * 10**9
    hour_ns = HOUR_MS * 10**6

    def hours(first: float, last: float) -> list[int] | None:
        cut = money.between(start_ns + int(first * hour_ns), start_ns + int(last * hour_ns))
        funding = cut.holding["bridge/BTCUSDT"].funding
        return None if funding is None else [(each.time_ns - start_ns) // hour_ns for each in funding]

    assert hours(2.5, 3.5) == [2, 3]
    assert hours(2, 3) == [2, 3]
    assert hours(2.5, 2.6) == [2]
    assert hours(0, 9) == [1, 2, 3, 4]
    assert hours(0, 0.5) is None  # nothing of it bears on that time: the same as not known
    assert hours(9, 10) == [4]


def test_off_is_not_the_same_as_not_known(tmp_path: Path) -> None:
    _, money = read(write(tmp_path, with_money('funding = "off"')))
    assert money.holding["bridge/BTCUSDT"].funding == []
    assert money.between(0, 1).holding["bridge/BTCUSDT"].funding == []


TIERS = """volume_30d = 20_000_000, fee_tiers = [
    { volume_min = 0, maker_fee_bps = 2, taker_fee_bps = 5 },
    { volume_min = 15_000_000, maker_fee_bps = 1.6, taker_fee_bps = 4 },
]"""


def test_fees_are_those_of_the_tier_at_the_start(tmp_path: Path) -> None:
    config, money = read(write(tmp_path, with_account(TIERS)))
    instruments, _ = make_instruments(config)
    linear = next(each for each in instruments if bytes(each.symbol).startswith(b"BTCUSDT"))
    assert (linear.maker_fee_e9, linear.taker_fee_e9) == (160_000, 400_000)
    assert money.accounts["bridge"].tiered == ["bridge/BTCUSDT"]
    assert money.accounts["deribit"].tiered == []


def test_an_instruments_own_fees_come_before_the_tiers(tmp_path: Path) -> None:
    config, money = read(write(tmp_path, with_account(TIERS, without_fees=False)))
    own = next(each for each in config.venue if each.name == "bridge").instrument[0]
    instruments, _ = make_instruments(config)
    linear = next(each for each in instruments if bytes(each.symbol).startswith(b"BTCUSDT"))
    assert own.taker_fee_bps is not None
    assert linear.taker_fee_e9 == int(own.taker_fee_bps * 100_000)
    assert money.accounts["bridge"].tiered == []


BRACKETS = "margin_brackets = [{ value_min = 0, initial_rate = 0.01, maintenance_rate = 0.004 }]"
BY_SIZE = "margin_by_size = { initial_base = 0.02, maintenance_base = 0.01, per_coin = 0.00005 }"


def test_margin_and_balance_are_read(tmp_path: Path) -> None:
    _, money = read(write(tmp_path, with_money(BRACKETS)))
    assert money.holding["bridge/BTCUSDT"].margin_brackets[0].maintenance_rate == Decimal("0.004")
    _, money = read(write(tmp_path, with_account("balance = { USDT = 1000 }", without_fees=False)))
    assert money.accounts["bridge"].balance == {"USDT": 1000}


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (with_money('funding = "none.csv"'), "bridge/BTCUSDT: money: "),
        (with_money("borrow_rate_daily = 0.0002"), "money.borrow_rate_daily: is of a spot, and this is a perpetual"),
        (with_money("delivery_price = 1"), "money.delivery_price: is of a future, and this is a perpetual"),
        (with_money("fundings = 1"), "fundings"),
        (with_money('funding_scheme = "daily"'), "funding_scheme"),
        (with_money(f"{BRACKETS}, {BY_SIZE}"), "give one of them"),
        (with_money("margin_brackets = [{ value_min = 1, initial_rate = 1, maintenance_rate = 1 }]"), "begin at 0"),
        (with_account("volume_30d = -1", without_fees=False), "volume_30d = -1: must not be negative"),
        (with_account("balance = { USDT = 0 }", without_fees=False), "balance.USDT = 0: must be above 0"),
        (with_account("balance = { EUR = 5 }", without_fees=False), "no derivative here is settled in EUR"),
        (
            with_account("fee_tiers = [{ volume_min = 1, maker_fee_bps = 0, taker_fee_bps = 0 }]"),
            "the first fee tier begins at a volume of 1",
        ),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(tmp_path: Path, edit: Callable[[str], str], says: str) -> None:
    path = write(tmp_path, edit)
    with pytest.raises(ConfigError) as raised:
        read(path)
    message = str(raised.value)
    assert says in message
    assert message.startswith(str(path))
    assert "\n" not in message


def test_fees_must_come_from_somewhere(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, with_account("volume_30d = 0")))
    with pytest.raises(ConfigError, match="neither maker_fee_bps and taker_fee_bps nor fee tiers"):
        make_instruments(config)
    one = write(tmp_path, lambda text: text.replace("maker_fee_bps = 0\n", "", 1))
    with pytest.raises(ConfigError, match="maker_fee_bps is missing: give both"):
        make_instruments(load_config(one))
