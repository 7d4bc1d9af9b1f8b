"""Mark prices and funding out of Binance's lines: each number as it stands there, and no line that can't be meant."""

import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.venues.bridge.binance.importer import ImportOptions, ImportSummary, import_file
from crosswire.venues.bridge.binance.line import DIGITS_MAX
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import ABOUT, Remark
from crosswire.venues.bridge.binance.terms import instrument_id_of
from crosswire.venues.bridge.binance.text import RecordingError
from tests.support.binance_import import best, decoded, depth, mark_prices, rest

MS = 10**6
NOW_MS = 1_772_000_000_000
NEXT_MS = 1_772_006_400_000
MARKS, DEPTH = "btcusdt@markPrice@1s", "btcusdt@depth@0ms"
ID = instrument_id_of(Market.USDM, "BTCUSDT")

# As the venue sends it, fields that its documents lack included.
SENT = {"e": "markPriceUpdate", "E": NOW_MS, "s": "BTCUSDT", "p": "64240.38272864", "ap": "64240.38272864"}
SENT |= {"P": "64361.80163225", "i": "64273.72847826", "r": "-0.00006042", "T": NEXT_MS, "st": 1}
TOLD = (ID, NOW_MS * MS, 64_240_382_728_640, 64_273_728_478_260, -60_420, NEXT_MS * MS)


def line(message: dict[str, Any], at_ms: int = NOW_MS, name: str = MARKS) -> str:
    return f"{at_ms * MS} {json.dumps({'stream': name, 'data': message}, separators=(',', ':'))}\n"


def run(folder: Path, *lines: str, market: Market = Market.USDM) -> ImportSummary:
    path = folder / "in.txt"
    path.write_text("".join(lines))
    return import_file(path, folder / "out.pcap", ImportOptions(market=market))


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in SENT.items() if name not in names}


def test_a_line_as_the_venue_sends_it_is_published_to_the_last_digit(tmp_path: Path) -> None:
    summary = run(tmp_path, line(SENT))
    assert mark_prices(summary.output) == [TOLD]
    assert (summary.mark_prices, summary.packets, summary.warnings) == (1, 2, [])


def test_it_stands_beside_the_book_and_changes_nothing_of_it(tmp_path: Path) -> None:
    """Its time is when it was sent, and not when the next payment is, which would be far ahead of the clock."""
    sides = {"bids": [["500.0", "1"]], "asks": [["500.1", "1"]]}
    snapshot = rest(50, **sides) | {"E": NOW_MS, "T": NOW_MS}
    delta = depth(51, 52, [["500.0", "2"]], previous=50)["data"] | {"E": NOW_MS, "T": NOW_MS}
    named = [(SENT, MARKS), (snapshot, DEPTH), (SENT, MARKS), (delta, DEPTH), (SENT, MARKS)]
    texts = [line(each, NOW_MS + place, name) for place, (each, name) in enumerate(named)]
    summary = run(tmp_path, *texts)
    assert (summary.mark_prices, summary.deltas, summary.snapshots, summary.warnings) == (3, 1, 1, [])
    assert mark_prices(summary.output) == [TOLD] * 3
    assert best(decoded(summary.output)[1].books[0]) == ((5000, 2000), (5001, 1000))


@settings(max_examples=100, deadline=None)
@given(
    mark=st.integers(1, 4 * 10**17),
    index=st.none() | st.integers(0, 4 * 10**17),
    rate=st.integers(-(10**8), 10**8),
    decimals=st.integers(9, 12),
    after_ms=st.integers(-60_000, 86_400_000),
    order=st.permutations(("e", "E", "s", "p", "i", "r", "T")),
)
def test_prices_and_rates_are_read_back_as_written(
    mark: int, index: int | None, rate: int, decimals: int, after_ms: int, order: tuple[str, ...]
) -> None:
    """Whatever order the keys stand in, and with zeros behind what is counted."""

    def text(units: int) -> str:
        return f"{Decimal(units).scaleb(-9):.{decimals}f}"

    next_ms = NOW_MS + after_ms
    values: dict[str, Any] = {"p": text(mark), "r": text(rate), "T": next_ms, "i": "" if index is None else text(index)}
    message = {key: (SENT | values)[key] for key in order}
    expected = [TOLD, (ID, NOW_MS * MS, mark, index or 0, rate, next_ms * MS)]
    if max(len(each.replace(".", "")) for each in (values["p"], values["i"])) > DIGITS_MAX:
        expected.pop()
    with TemporaryDirectory() as name:
        summary = run(Path(name), line(SENT), line(message))
        assert mark_prices(summary.output) == expected
        assert summary.bad_lines == 2 - len(expected)


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"p": "0.00000000"}, Remark.VALUE),
        ({"p": "-64240.3"}, Remark.NUMBER),
        ({"p": "64e3"}, Remark.NUMBER),
        ({"p": "0.0000000001"}, Remark.VALUE),  # finer than what is counted in
        ({"p": "9999999999"}, Remark.RANGE),
        ({"i": "-1"}, Remark.NUMBER),
        ({"i": "NaN"}, Remark.NUMBER),
        ({"r": "0.10000001"}, Remark.VALUE),
        ({"r": "-0.10000001"}, Remark.VALUE),
        ({"r": "+0.0001"}, Remark.NUMBER),
        ({"r": "--0.0001"}, Remark.NUMBER),
        ({"r": ""}, Remark.MISSING_KEY),  # of a payment that there is
        ({"r": None}, Remark.MISSING_KEY),
        ({"T": NOW_MS - 60_001}, Remark.VALUE),
        ({"T": NOW_MS + 86_400_001}, Remark.VALUE),
        ({"T": 7}, Remark.VALUE),
        ({"T": -1}, Remark.MISSING_KEY),
        ({"T": None}, Remark.MISSING_KEY),
        ({"p": 64240.5}, Remark.MISSING_KEY),
        ({"E": None}, Remark.NUMBER),
    ],
)
def test_what_can_not_be_counted_with_is_left_out_and_told(
    tmp_path: Path, changed: dict[str, Any], remark: Remark
) -> None:
    summary = run(tmp_path, line(SENT), line(SENT | changed))
    assert mark_prices(summary.output) == [TOLD]
    assert summary.bad_lines == 1
    assert [(each.kind, each.count) for each in summary.warnings] == [(ABOUT[remark].kind, 1)]
    assert summary.warnings[0].first_place.endswith("in.txt, line 2")


@pytest.mark.parametrize("missing", ["E", "p", "r", "T"])
def test_a_key_that_lacks_leaves_the_line_out(tmp_path: Path, missing: str) -> None:
    summary = run(tmp_path, line(SENT), line(without(missing)))
    assert (summary.mark_prices, len(summary.warnings)) == (1, 1)


def test_a_dated_future_has_no_funding_and_an_index_price_may_lack(tmp_path: Path) -> None:
    sent = SENT | {"s": "BTCUSD_260626", "r": "", "T": 0}
    summary = run(tmp_path, line(sent), line({name: sent[name] for name in sent if name != "i"}), market=Market.COINM)
    told = (instrument_id_of(Market.COINM, "BTCUSD_260626"), *TOLD[1:3])
    assert mark_prices(summary.output) == [(*told, TOLD[3], 0, 0), (*told, 0, 0, 0)]
    assert summary.warnings == []


def test_a_time_that_is_none_is_not_published_and_the_payment_is_held_against_the_receive_time(tmp_path: Path) -> None:
    late_ms = NOW_MS + 3_600_000
    summary = run(tmp_path, line(SENT | {"E": 1}), line(SENT | {"E": 1, "T": NOW_MS}, late_ms))
    assert mark_prices(summary.output) == [(ID, 0, *TOLD[2:])]
    assert {each.kind for each in summary.warnings} == {
        ABOUT[each].kind for each in (Remark.VALUE, Remark.EXCHANGE_TIME)
    }


def test_spot_has_none(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="1 lines of another market"):
        run(tmp_path, line(SENT), market=Market.SPOT)
