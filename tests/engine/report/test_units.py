"""What each number of a moment, of the page's lists and of its margins is in."""

from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.engine.build.money import AccountTerms, MoneyTerms
from crosswire.engine.report.report import write_report
from crosswire.engine.report.rows import Rows, found_lines
from crosswire.engine.report.summary import read_summary
from crosswire.venues.money.margin import MarginBracket
from crosswire.venues.money.terms import HoldingTerms
from tests.support.synthetic_run import START_NS, SyntheticRun

PERPETUAL = "binance/BTCUSDT-PERP"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bracket = MarginBracket(value_min=Decimal(0), initial_rate=Decimal("0.01"), maintenance_rate=Decimal("0.004"))
    money = MoneyTerms(
        holding={PERPETUAL: HoldingTerms(funding=[], margin_brackets=[bracket])},
        accounts={"binance": AccountTerms(balance={"USDT": Decimal(100_000)})},
    )
    played = SyntheticRun(tmp_path_factory.mktemp("units") / "run")
    played.play(300, 100_000_000)
    played.finish(money=money, first_time_ns=START_NS, last_time_ns=played.now_ns)
    return played.recorder.directory


def table_of(page: str, first_head: str) -> list[dict[str, str]]:
    """Rows of the table whose first column is called so; columns of one name are numbered."""
    table = next(
        each for each in page.split("<table>")[1:] if each.split("<th ")[1].split(">")[1].startswith(first_head)
    )
    heads = [cell.split(">")[1].split("<")[0] for cell in table.split("<th ")[1:]]
    heads = [
        f"{head} {heads[:place].count(head)}" if head in heads[:place] else head for place, head in enumerate(heads)
    ]
    body = table.split("</table>")[0].split("<tr")[2:]
    return [
        dict(zip(heads, (cell.split(">")[1].split("<")[0] for cell in row.split("<td ")[1:]), strict=True))
        for row in body
    ]


def test_lists_name_the_currencies_of_what_they_list(run: Path) -> None:
    page, rows = write_report(run).read_text(), Rows(run)
    infos = {info.name: info for info in rows.summary.definitions}
    opportunities, orders = table_of(page, "opportunity"), table_of(page, "order")
    assert len({each["in"] for each in orders}) > 1
    assert len({each["of"] for each in orders}) > 1
    for each in opportunities:
        row = rows.table("opportunities.parquet")[int(each["opportunity"]) - 1]
        assert (each["in"], each["of"]) == (infos[row["buy"]].quote, infos[row["buy"]].base)
        assert float(each["worth"].replace(",", "")) == pytest.approx(row["peak_value"], abs=0.006)
    for each in orders:
        info = infos[each["instrument"]]
        assert (each["in"], each["of"]) == (info.quote, info.quote if info.is_inverse else info.base)


def test_fills_of_a_moment_say_better_or_worse(run: Path) -> None:
    rows = Rows(run)
    seen = set()
    for fill in rows.table("fills.parquet"):
        place = next(
            place
            for place, order in enumerate(rows.table("orders.parquet"), 1)
            if order["client_order_id"] == fill["client_order_id"]
        )
        lines = "\n".join(found_lines(rows.find("order", place)))
        bps = fill["slippage_bps"]
        words = "as planned" if bps == 0 else f"{abs(bps):.3f} bps {'worse' if bps > 0 else 'better'} than planned"
        assert words in lines
        assert f"fill {fill['size']:.10g} {fill['size_currency']} at " in lines
        seen.add((bps > 0) - (bps < 0))
        if len(seen) == 3:
            return
    assert seen >= {0, 1}


def test_accounts_with_a_balance_have_their_margin_on_the_page(run: Path) -> None:
    (margin,) = read_summary(run).margins
    (row,) = table_of(write_report(run).read_text(), "account")
    assert (row["account"], row["in"], row["balance"]) == ("binance", "USDT", "100,000.00")
    assert margin.usage_max is not None
    assert row["most of equity"] == f"{margin.usage_max:.1%}"
    assert float(row["lowest equity"].replace(",", "")) == pytest.approx(float(margin.equity_min), abs=0.006)
