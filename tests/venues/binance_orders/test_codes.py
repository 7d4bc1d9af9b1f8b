"""What the venue's answers mean: the table in docs/binance-orders.md is the code's, and the rules behind it hold."""

from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.gateway.orders.codes import CODES, MESSAGES, STATUSES, Outcome, meaning_of
from crosswire.venues.order import RejectReason

pytestmark = pytest.mark.binance

DOCUMENT = Path(__file__).parents[3] / "docs" / "binance-orders.md"


def table() -> str:
    rows = ["| status, code or message | what is known | the engine hears |", "|---|---|---|"]
    named = [(f"status {status}", meaning) for status, meaning in STATUSES.items()]
    named += [("status 500 and above", meaning_of(500, 0, ""))]
    named += [(str(code), meaning) for code, meaning in CODES.items()]
    named += [(f'"{message}"', meaning) for message, meaning in MESSAGES.items()]
    named += [("any other code", meaning_of(400, -9_999, ""))]
    for name, meaning in named:
        rows.append(f"| {name} | {meaning.outcome.value} | {meaning.reason.name} |")
    return "\n".join(rows)


def test_the_documents_table_is_the_codes() -> None:
    assert table() in DOCUMENT.read_text(), f"put this into {DOCUMENT}:\n{table()}"


@pytest.mark.parametrize("code", [*CODES, -9_999])
def test_a_server_error_never_says_that_an_order_was_refused(code: int) -> None:
    assert meaning_of(503, code, "Market is closed.").outcome == Outcome.UNKNOWN


@pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -4116])
def test_what_leaves_execution_open_is_asked_for(code: int) -> None:
    assert meaning_of(400, code, "").outcome == Outcome.UNKNOWN


def test_one_code_with_many_messages() -> None:
    assert meaning_of(400, -2010, "Order would immediately match and take.").reason == RejectReason.WOULD_TAKE
    assert meaning_of(400, -2010, "Duplicate order sent.").outcome == Outcome.UNKNOWN
    assert meaning_of(400, -2011, "Unknown order sent.").outcome == Outcome.GONE
    assert meaning_of(400, -1013, "Filter failure: LOT_SIZE").reason == RejectReason.BAD_QUANTITY
    assert meaning_of(429, -1003, "Too many requests").outcome == Outcome.WAIT
