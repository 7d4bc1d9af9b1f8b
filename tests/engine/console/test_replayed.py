"""What is known at each turn, against the run's own files and other ways to the same."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from crosswire.engine.console.replayed import ReplayedRun
from crosswire.engine.console.window import Recording
from crosswire.engine.errors import ExplainError
from crosswire.engine.journal.description import Description, read_description
from crosswire.engine.report.recorder import OPPORTUNITIES, ORDERS, POSITIONS
from crosswire.engine.report.summary import read_summary
from crosswire.engine.runs import journal_in
from crosswire.nic.host.testbed import Testbed
from tests.engine.console.conftest import replayed
from tests.support.console import make_run
from tests.support.live_setup import make_config, trade
from tests.support.net import own_testbed
from tests.support.paths import ROOT

pytestmark = pytest.mark.console


def described(folder: Path) -> Description:
    description = read_description(journal_in(folder))
    assert description is not None
    return description


def test_the_run_made_again_is_the_run(btc_run: ReplayedRun, btc: Path) -> None:
    summary = read_summary(btc)
    assert btc_run.recording.digest == summary.digest
    last = btc_run.recording.window.turns[-1]
    assert (last["frames"], last["orders_sent"], last["fills"]) == (summary.frames, summary.orders_sent, summary.fills)


def test_every_opportunity_began_on_the_books_that_its_row_has(btc_run: ReplayedRun) -> None:
    rows = btc_run.rows.table(OPPORTUNITIES)
    for number, row in enumerate(rows, 1):
        found = btc_run.find("opportunity", number)
        buy, sell = found["pair"]
        window, at = btc_run.recording.window, found["turn"] - 1
        bought, sold = window.book_at(buy, at), window.book_at(sell, at)
        assert (bought["ask_ticks"][0], sold["bid_ticks"][0]) == (row["first_buy_ticks"], row["first_sell_ticks"])
        assert btc_run.edges(window, at, [buy, sell])[0]["edge_e9"] == row["first_edge_e9"]
    assert len(rows) == 172


def test_every_sample_has_the_position_and_books_of_its_turn(btc_run: ReplayedRun, btc: Path) -> None:
    columns = ["time_ns", "instrument", "valid", "bid_ticks", "ask_ticks", "position_lots", "cash_e9", "fees_e9"]
    samples = pq.read_table(btc / POSITIONS, columns=columns).to_pylist()
    window = btc_run.recording.window
    compared = 0
    for sample in samples[::7]:
        row = btc_run.recording.row_at(sample["time_ns"])
        if window.turns["time_ns"][row - 1] == sample["time_ns"] or window.turns["time_ns"][row] == sample["time_ns"]:
            continue  # a sample comes before or behind what else happens at its time
        book, held = window.book_at(sample["instrument"], row), window.position_at(sample["instrument"], row)
        assert book["valid"] == sample["valid"]
        if sample["valid"]:
            assert (book["bid_ticks"][0], book["ask_ticks"][0]) == (sample["bid_ticks"], sample["ask_ticks"])
        kept = [held[name] for name in ("position_lots", "cash_e9", "fees_e9")]
        assert kept == [sample[name] for name in ("position_lots", "cash_e9", "fees_e9")]
        compared += 1
    assert compared > len(samples) // 20


def test_a_longer_run_is_made_again_up_to_the_part_that_is_asked_for(btc_run: ReplayedRun, btc: Path) -> None:
    """Through windows of 9,000 turns everything is as it is through one of all."""
    part = Recording(btc, described(btc), turns_max=9_000)
    part.begin()
    whole = btc_run.recording
    assert part.rows == whole.rows
    assert not part.is_whole
    drawn = random.Random(7)
    for row in [0, 8_999, 9_000, whole.rows - 1, *(drawn.randrange(whole.rows) for _ in range(6))]:
        window, there = part.at(row), whole.window
        assert window.turns[row - window.first]["time_ns"] == there.turns[row]["time_ns"]
        for instrument in range(3):
            mine, theirs = window.book_at(instrument, row), there.book_at(instrument, row)
            for name in ("valid", "bids", "asks", "receive_time_ns"):
                assert mine[name] == theirs[name]
            for side in ("bid", "ask"):
                count = int(mine[f"{side}s"])
                assert np.array_equal(mine[f"{side}_ticks"][:count], theirs[f"{side}_ticks"][:count])
                assert np.array_equal(mine[f"{side}_lots"][:count], theirs[f"{side}_lots"][:count])
            assert window.position_at(instrument, row)["cash_e9"] == there.position_at(instrument, row)["cash_e9"]
        time_ns, frames = int(there.turns[row]["time_ns"]), int(there.turns[row]["frames"])
        assert part.row_at(time_ns) == whole.row_at(time_ns)
        assert part.row_of_frame(frames) == whole.row_of_frame(frames) == row
    assert part.window.end - part.window.first <= 9_000


def test_steps_from_event_to_event_pass_none_and_come_back(btc_run: ReplayedRun) -> None:
    turn, seen = 1, [1]
    while (following := btc_run.event_turn(turn, 1)) != turn:
        turn = following
        seen.append(turn)
    created = {btc_run.turn_at(row["created_ns"]) for row in btc_run.rows.table(ORDERS)}
    assert created <= set(seen)
    back = [turn]
    while (before := btc_run.event_turn(back[-1], -1)) != back[-1]:
        back.append(before)
    assert back == [each for each in reversed(seen) if each <= turn][: len(back)]


def test_a_resting_order_has_a_place_in_its_queue(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    run = replayed(make_run(tmp_path, "synthetic", with_restless(text)))
    assert run.recording.digest == run.rows.summary.digest
    places = run.recording.tape.places.numpy(run.recording.tape.places_count)
    assert len(places) > 100
    amended = {text.split("client_order_id=")[1].split()[0] for _, text in run.lines if " amend_sent " in text}
    ahead: dict[int, float] = {}
    for place in places:
        order, front_lots = int(place["client_order_id"]), float(place["front_lots"])
        assert place["leaves_lots"] > 0
        assert front_lots >= 0
        if str(order) not in amended and not place["is_unseen"]:
            assert front_lots <= ahead.setdefault(order, front_lots)  # who came behind us stays behind us
            ahead[order] = front_lots
    assert any(ahead.values())
    shown = [each for row in range(0, run.recording.window.end, 97) for each in run.at(row + 1, [0, 1])["open_orders"]]
    assert any(each["ahead"] != "not known" for each in shown)


def with_restless(text: str) -> str:
    """Have another strategy in an example, over the same instruments."""
    before, rest = text.split("[strategy]", 1)
    asked = next(line for line in rest.splitlines() if line.startswith("instruments"))
    behind = rest[rest.index("\n\n", rest.index(asked)) :]
    return f'{before}[strategy]\nuse = "restless"\n\n[strategy.parameters]\n{asked}\nseed = 5\n{behind}'


@pytest.fixture
def testbed() -> Any:
    with own_testbed("co", links=2) as testbed:
        yield testbed


@pytest.mark.netns
def test_a_live_run_is_shown_from_its_journal_and_capture(testbed: Testbed, tmp_path: Path) -> None:
    config = make_config(tmp_path, testbed, seconds=8, **{'"af_xdp"': '"sockets"'})
    trade(tmp_path, config, 4, live_options=["--capture", tmp_path / "captured"])
    run = replayed((tmp_path / "runs" / "synthetic" / "latest").resolve())
    orders = [row for row in run.rows.table(ORDERS) if row["created_ns"]]
    assert orders
    times = run.recording.window.turns["time_ns"]
    for number, order in enumerate(run.rows.table(ORDERS)[:200], 1):
        if order["created_ns"]:
            assert int(times[run.find("order", number)["turn"] - 1]) == order["created_ns"]
    summary = run.rows.summary
    last = run.at(run.recording.rows, [0, 1])
    assert (last["orders_sent"], last["fills"]) == (summary.orders_sent, summary.fills)
    assert last["books"][0]["bids"]


def test_what_can_not_be_made_again_is_said_in_one_line(btc: Path, tmp_path: Path) -> None:
    description = replace(described(btc), config_file=str(tmp_path / "examples" / "binance-btc.toml"))
    with pytest.raises(ExplainError, match=r"its capture .* of venue spot is not there"):
        Recording(btc, description).begin()
    with pytest.raises(ExplainError, match="what its loop saw was not kept"):
        Recording(btc, replace(described(btc), kind="live")).begin()
    with pytest.raises(ExplainError, match="is a reconcile"):
        Recording(btc, replace(described(btc), kind="reconcile")).begin()
