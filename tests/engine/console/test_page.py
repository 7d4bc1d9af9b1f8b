"""The console in a browser: what it shows is what the run's files say, and every way through it works."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crosswire.engine.config import load_config
from crosswire.engine.report.moment import Source, books_at
from crosswire.engine.report.recorder import OPPORTUNITIES, ORDERS
from crosswire.engine.report.summary import read_summary
from tests.support.console import DESKTOP, PHONE, console, go_to, settled, wait_for_turn

pytestmark = pytest.mark.console
CONTROLS = "button:visible, select:visible, input:visible, a:visible, [role=img]:visible, [role=region]:visible"
LEVELS = 5  # that the other way to the books gives


def rows_of(run: Path, name: str) -> list[dict[str, Any]]:
    """Read a file's rows as anybody would; Python's times have no ns."""
    table = pq.read_table(run / name)
    return table.select([each.name for each in table.schema if "timestamp" not in str(each.type)]).to_pylist()


@pytest.fixture(scope="module")
def address(btc: Path) -> Iterator[str]:
    with console(btc) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "status of 400" not in message.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    wait_for_turn(page)
    yield page
    assert not said, said  # nor did the content policy have anything to refuse
    own = address.split("/runs")[0]
    assert [url for url in asked if not url.startswith(own)] == []
    context.close()


def cells(page: Any, table: str) -> list[list[str]]:
    """Read a table's rows as they are shown."""
    return [
        [cell.strip() for cell in row.locator("td").all_text_contents()]
        for row in page.locator(f"{table} tbody tr").all()
    ]


def number(text: str) -> Decimal:
    """Read a figure, whatever unit stands behind it."""
    return Decimal(text.split()[0].replace(",", ""))


def shown_time_ns(page: Any) -> int:
    whole, part = page.locator("#time").text_content().removesuffix(" UTC").split(".")
    import datetime

    moment = datetime.datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(part)


@pytest.mark.parametrize("wanted", [1, 10, 20, 90, 172])
def test_an_opportunity_is_shown_as_its_row_says(page: Any, btc: Path, wanted: int) -> None:
    row = rows_of(btc, OPPORTUNITIES)[wanted - 1]
    infos = read_summary(btc).definitions
    buy, sell = infos[row["buy_instrument"]], infos[row["sell_instrument"]]
    go_to(page, "opportunity", wanted)
    assert shown_time_ns(page) == row["start_ns"]
    assert page.locator("#left option:checked").text_content() == buy.name
    assert page.locator("#right option:checked").text_content() == sell.name
    left, right = cells(page, "#book-left"), cells(page, "#book-right")
    assert number(left[0][2]) == Decimal(row["first_buy_ticks"] * buy.tick_e9) / 10**9
    assert number(right[0][1]) == Decimal(row["first_sell_ticks"] * sell.tick_e9) / 10**9
    edge = number(page.locator("#edges b").first.text_content())
    assert abs(edge - Decimal(row["first_edge_e9"]) / 10**9) < Decimal("0.0001")
    (listed,) = [each for each in cells(page, "#opportunities") if each[0] == str(wanted)]
    assert number(listed[5]) == edge
    assert abs(number(listed[6]) - Decimal(row["peak_edge_e9"]) / 10**9) < Decimal("0.0001")
    assert abs(number(listed[7]) - Decimal(row["captured_size_e9"]) / 10**9) < Decimal("0.00001")
    assert number(listed[3].split(" at ")[1]) == number(left[0][2])
    assert number(listed[4].split(" at ")[1]) == number(right[0][1])


@pytest.mark.parametrize("wanted", [2, 60, 150])
def test_the_books_are_those_that_the_captures_alone_give(page: Any, btc: Path, wanted: int) -> None:
    """Decoded frame by frame without the loop, up to the time that is shown."""
    go_to(page, "opportunity", wanted)
    summary = read_summary(btc)
    config_path = Path(summary.config_file)
    source = Source(load_config(config_path), config_path, {}, is_live=False)
    names = [page.locator(f"{side} option:checked").text_content() for side in ("#left", "#right")]
    there = {book.name: book for book in books_at(source, names, [shown_time_ns(page)])}
    for name, table in zip(names, ("#book-left", "#book-right"), strict=True):
        shown = cells(page, table)[:LEVELS]
        book = there[name]
        assert [(float(number(row[1])), float(number(row[0]))) for row in shown] == book.bids
        assert [(float(number(row[2])), float(number(row[3]))) for row in shown] == book.asks


def test_the_orders_are_those_of_their_file(page: Any, btc: Path) -> None:
    orders, infos = rows_of(btc, ORDERS), read_summary(btc).definitions
    go_to(page, "turn", 187_775)
    shown = {row[0]: row for row in cells(page, "#orders")}
    assert len(shown) == min(40, len(orders))
    for place, order in enumerate(orders, 1):
        if str(place) not in shown:
            continue
        row, info = shown[str(place)], infos[order["instrument"]]
        assert row[2] == info.name
        assert row[3] == order["side"]
        assert number(row[4]) == Decimal(order["price_ticks"] * info.tick_e9) / 10**9
        assert number(row[5]) == Decimal(order["qty_lots"] * info.lot_e9) / 10**9
        assert number(row[6]) == Decimal(order["filled_lots"] * info.lot_e9) / 10**9
        assert row[7] == order["state"]


def test_an_order_that_was_just_sent_is_open_and_later_is_not(page: Any, btc: Path) -> None:
    order = rows_of(btc, ORDERS)[4]
    turn = go_to(page, "order", 5)
    assert shown_time_ns(page) == order["created_ns"]
    assert [row[0] for row in cells(page, "#open")] == ["5"]
    assert page.locator("#journal li.now", has_text=f"order_sent    client_order_id={order['client_order_id']}").count()
    go_to(page, "turn", turn + 200)
    assert "5" not in [row[0] for row in cells(page, "#open")]


def test_every_key_goes_where_the_page_says(page: Any) -> None:
    def press(key: str) -> int:
        page.keyboard.press(key)
        return settled(page)

    begun = go_to(page, "opportunity", 20)
    page.locator("#main").focus()
    assert press("ArrowRight") == begun + 1
    assert press("ArrowLeft") == begun
    event = press("Shift+ArrowRight")
    assert event > begun
    assert press("Shift+ArrowLeft") == begun
    later = press("]")
    assert later > begun
    assert press("[") == begun
    assert press("End") == 187_775
    assert press("Home") == 1
    page.keyboard.press("g")
    assert page.evaluate("document.activeElement.id") == "go-value"
    page.locator("#main").focus()
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")


def test_it_plays_and_stops(page: Any) -> None:
    begun = go_to(page, "opportunity", 20)
    page.locator("#main").focus()
    page.keyboard.press("Space")
    while wait_for_turn(page) < begun + 20:
        page.wait_for_timeout(50)
    assert page.locator("#play").text_content() == "Pause"
    page.keyboard.press("Space")
    assert page.locator("#play").text_content() == "Play"
    stopped = settled(page)
    page.wait_for_timeout(300)
    assert wait_for_turn(page) == stopped
    assert f"turn={stopped}" in page.url


def test_the_address_shows_somebody_else_the_same(page: Any) -> None:
    go_to(page, "opportunity", 60)
    other = page.context.new_page()
    other.goto(page.url)
    wait_for_turn(other)
    for part in ("#time", "#book-left", "#book-right", "#edges", "#positions", "#orders", "#opportunities", "#journal"):
        assert other.locator(part).text_content() == page.locator(part).text_content(), part


def test_a_time_and_a_frame_lead_to_their_turn(page: Any, btc: Path) -> None:
    turn = go_to(page, "opportunity", 20)
    clock = page.locator("#time").text_content().removesuffix(" UTC")
    frames = page.locator("#frames").text_content().replace(",", "")
    go_to(page, "turn", 5)
    assert go_to(page, "time", clock) == turn
    go_to(page, "turn", 5)
    assert go_to(page, "frame", frames) == turn


def test_what_is_not_there_is_said_in_one_line(page: Any) -> None:
    assert go_to(page, "turn", 999_999_999) == 187_775
    go_to(page, "time", "yesterday")
    assert "write a time as" in page.locator("#note").text_content()
    go_to(page, "opportunity", 999)
    assert "there is none; this run has 172" in page.locator("#note").text_content()
    go_to(page, "turn", 7)
    assert page.locator("#note").is_hidden()


def test_a_phone_need_not_scroll_sideways(page: Any, btc: Path) -> None:
    page.set_viewport_size(PHONE)
    go_to(page, "order", 5)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = page.evaluate(
        "[...document.querySelectorAll('main table')].filter((each) => each.offsetParent"
        " && each.getBoundingClientRect().right > innerWidth).map((each) => each.parentNode.id)"
    )
    assert wide == []


def test_everything_that_can_be_used_has_a_name(page: Any) -> None:
    unnamed = []
    for control in page.locator(CONTROLS).all():
        tree = control.aria_snapshot()
        if '"' not in tree.splitlines()[0]:
            unnamed.append(tree)
    assert unnamed == []
    for table in page.locator("main table:visible").all():
        assert table.locator("caption").text_content().strip()
    assert page.locator("h1").count() == 1


def test_the_colours_follow_the_system_and_the_switch(page: Any) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.emulate_media(color_scheme="light")
    light = ground()
    page.emulate_media(color_scheme="dark")
    dark = ground()
    assert dark != light
    page.click("#theme")
    assert ground() == light
    page.reload()
    wait_for_turn(page)
    assert ground() == light  # the choice is kept


def test_the_warnings_stand_where_their_number_is(page: Any, btc: Path) -> None:
    warnings = [f"warning: {each}" for each in read_summary(btc).warnings]
    assert warnings
    assert page.locator("#warnings li").all_text_contents() == warnings
    funding = [each for each in warnings if "funding" in each]
    assert page.locator("#positions .note").all_text_contents() == funding
