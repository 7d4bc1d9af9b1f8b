"""Goal: each way in which an order can fare otherwise than by the model has its own cause."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from crosswire.engine.explain.findings import Cause, Finding, Findings
from crosswire.engine.explain.happened import find_happened
from crosswire.engine.explain.judge import Judge
from crosswire.engine.explain.lives import Life, Lives
from crosswire.engine.explain.reading import Told
from crosswire.engine.explain.valuing import Valuing
from crosswire.engine.journal.decode import Record
from crosswire.engine.journal.description import Description
from crosswire.engine.report.recorder import RecordNames, instrument_info
from crosswire.risk.records import ACCOUNT, KINDS, RecordKind
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.instrument import Instrument, Payoff, position_value_e9
from crosswire.venues.order import GTC, IOC, Applied, OrderState, RejectReason
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL

US = 1_000
MODEL_NS = 400 * US
TERMS = dict.fromkeys(("client_order_id", "venue", "instrument", "strategy", "is_quote", "trade_id"), 0)


def instrument() -> Instrument:
    """A linear one: one tick of one lot is 1e-4."""
    return Instrument(venue=0, tick_e9=100_000_000, lot_e9=1_000_000, tick_lot_e9=100_000, payoff=Payoff.LINEAR)


def life(
    place: int,
    *,
    fills: Sequence[tuple[int, int]] = ((100, 5),),
    round_trip_ns: int = MODEL_NS,
    time_in_force: int = IOC,
    side: int = BUY,
    state: int = OrderState.FILLED,
    reason: int = RejectReason.NONE,
    fee_e9: int = 0,
) -> Life:
    """An order of 5 at 101, filled with these prices and lots."""
    sent_ns = 10**9 + 2 * 10**9 * place
    answered_ns = sent_ns + round_trip_ns
    terms = TERMS | {
        "client_order_id": place + 1, "trade_id": place + 1, "side": side, "time_in_force": time_in_force,
        "price_ticks": 101, "qty_lots": 5,
    }  # fmt: skip
    told = [
        {
            "instrument": 0,
            "side": side,
            "price_ticks": price,
            "qty_lots": lots,
            "fee_e9": fee_e9,
            "time_ns": answered_ns,
        }
        for price, lots in fills
    ]
    return Life(
        place, sent_ns, terms, acked_ns=answered_ns, ended_ns=answered_ns, state=state, reason=reason, fills=told
    )


def lives(*each: Life) -> Lives:
    return Lives({one.order_id: one for one in each})


def judged(live: Sequence[Life], model: Sequence[Life]) -> list[Finding]:
    findings = Findings()
    valuing = Valuing([instrument()], ["USDT"], [100])
    Judge(findings, valuing, ["x"]).judge_all(lives(*live), lives(*model))
    return findings.in_order()


def usual(count: int, first: int = 1) -> list[Life]:
    """Orders that fare as by the model, so that one that does not is no median."""
    return [life(place) for place in range(first, first + count)]


REFUSED = {"fills": (), "state": OrderState.REJECTED}


@pytest.mark.parametrize(
    ("live", "model", "cause", "detail"),
    [
        ({}, {}, None, ""),
        ({**REFUSED, "reason": RejectReason.RATE_LIMIT}, {}, Cause.REFUSED, "rate_limit"),
        ({**REFUSED, "reason": RejectReason.WOULD_TAKE}, {**REFUSED, "reason": RejectReason.WOULD_TAKE}, None, ""),
        ({}, {**REFUSED, "reason": RejectReason.BAD_PRICE}, Cause.UNKNOWN, "bad_price"),
        ({}, {**REFUSED, "reason": RejectReason.BOOK_NOT_READY}, Cause.UNKNOWN, "book_not_ready"),
        ({"fills": (), "reason": RejectReason.SESSION_LOST, "state": OrderState.CANCELLED}, {}, Cause.SESSION_LOST, ""),
        ({"round_trip_ns": MODEL_NS + 101 * US}, {}, Cause.LATE, ""),
        ({"round_trip_ns": MODEL_NS + 99 * US}, {}, None, ""),
        ({"round_trip_ns": MODEL_NS + 101 * US, "fills": ()}, {}, Cause.LATE, ""),
        ({"fills": ((99, 5),)}, {}, Cause.PRICE, "better"),
        ({"fills": ((101, 5),)}, {}, Cause.PRICE, "worse"),
        ({"fills": ((99, 5),), "side": SELL}, {"side": SELL}, Cause.PRICE, "worse"),
        ({"fee_e9": 1}, {}, Cause.FEE, ""),
        ({"fills": ((100, 4),), "time_in_force": GTC}, {"time_in_force": GTC}, Cause.QUEUE, ""),
        ({"fills": ((100, 4),)}, {}, Cause.UNKNOWN, "fills"),
        ({"fills": ((100, 4),), "round_trip_ns": MODEL_NS + 21 * US}, {}, Cause.LATENCY, ""),
        ({"fills": ((100, 4),), "round_trip_ns": MODEL_NS + 19 * US}, {}, Cause.UNKNOWN, "fills"),
    ],
)
def test_an_order_that_fares_otherwise(live: dict, model: dict, cause: Cause | None, detail: str) -> None:
    found = judged([life(0, **live), *usual(3)], [life(0, **model), *usual(3)])
    assert [(each.cause, each.detail) for each in found] == ([] if cause is None else [(cause, detail)])


def test_its_effect_is_what_its_fills_were_worth_less_the_models() -> None:
    (found,) = judged([life(0, fills=((98, 5),)), *usual(3)], [life(0), *usual(3)])
    assert found.effect_e9 == {"USDT": 2 * 5 * 100_000}  # two ticks, five lots
    (found,) = judged([life(0, fills=((100, 3),), fee_e9=7), *usual(3)], [life(0, fee_e9=2), *usual(3)])
    assert found.effect_e9 == {"USDT": -5}  # at the mark itself lots are worth what they cost


def test_what_one_order_took_is_no_difference_of_the_next() -> None:
    refused = life(0, **REFUSED, reason=RejectReason.RATE_LIMIT)
    after = life(1, fills=((100, 4),))
    after.sent_ns = refused.sent_ns + 5 * 10**8
    after.acked_ns = after.ended_ns = after.fills[0]["time_ns"] = after.sent_ns + MODEL_NS
    (found,) = judged([refused, after, *usual(3, 2)], [life(0), life(1), *usual(3, 2)])
    assert (found.cause, found.count, found.orders) == (Cause.REFUSED, 1, [1])
    # On the other side of the book, or much later, it is one.
    later = life(1, fills=((100, 4),))
    assert len(judged([refused, later, *usual(3, 2)], [life(0), life(1), *usual(3, 2)])) == 2


def test_a_venue_that_is_always_slower_than_the_model_is_said_once() -> None:
    slow = [life(place, round_trip_ns=MODEL_NS + 150 * US) for place in range(4)]
    slow.append(life(4, round_trip_ns=MODEL_NS + 150 * US, fills=((101, 5),)))
    (found,) = judged(slow, [life(place) for place in range(5)])
    assert (found.cause, found.text) == (Cause.LATENCY, "round trip 550 us, by the model 400 us")
    assert found.effect_e9 == {"USDT": -5 * 100_000}


def test_a_fill_of_no_order_is_named_with_its_worth() -> None:
    live = lives(*usual(3))
    live.strange_fills.append(life(9, fills=((110, 5),)).fills[0])
    findings = Findings()
    Judge(findings, Valuing([instrument()], ["USDT"], [100]), ["x"]).judge_all(live, lives(*usual(3)))
    (found,) = findings.all
    assert (found.cause, found.effect_e9) == (Cause.NOT_BELIEVED, {"USDT": -10 * 5 * 100_000})


@pytest.mark.parametrize("payoff", list(Payoff))
def test_lots_are_worth_what_the_engine_says_but_add_up_exactly(payoff: Payoff) -> None:
    traded = Instrument(tick_e9=500_000_000, lot_e9=10_000_000_000, tick_lot_e9=5_000_000_000, payoff=payoff)
    valuing = Valuing([traded], ["X"], [120_001])
    for lots in (-7, -1, 0, 1, 3, 1_000):
        assert abs(valuing.held_e9(0, lots) - position_value_e9(traded, 120_001, lots)) < 1
    assert sum(valuing.held_e9(0, 1) for _ in range(1_000)) == valuing.held_e9(0, 1_000)


def told(*records: tuple[RecordKind, int, dict[str, int]]) -> Told:
    info = instrument_info(instrument(), "x")
    names = RecordNames(vetoes={}, blocked={}, outcomes={}, strategies={})
    description = Description(
        name="r", kind="live", began="", host="", process=1, engine_version="", config_file="", config_text="",
        venues=["x"], instruments=[info], names=names,
    )  # fmt: skip
    rows = [
        Record(number, time_ns, kind, dict.fromkeys(KINDS[kind].fields, 0) | fields)
        for number, (kind, time_ns, fields) in enumerate(records)
    ]
    return Told(Path("r"), description, rows)


def happened(*records: tuple[RecordKind, int, dict[str, int]]) -> list[tuple[Cause, int, int]]:
    findings = Findings()
    find_happened(told(*records), findings, 10**12)
    return [(each.cause, each.first_ns, each.last_ns) for each in findings.in_order()]


STATE, BOOK, SESSION = RecordKind.STATE, RecordKind.BOOK, RecordKind.SESSION
ALARM = {"state": TradingState.HALTED, "why": Why.ALARM}


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([(BOOK, 1, {"valid": 1})], []),
        ([(BOOK, 1, {"valid": 0}), (BOOK, 7, {"valid": 1})], [(Cause.MARKET_DATA_LOST, 1, 7)]),
        ([(BOOK, 1, {"valid": 0}), (STATE, 9, {})], [(Cause.MARKET_DATA_LOST, 1, 9)]),
        ([(BOOK, 2 * 10**12, {"valid": 0})], []),
        (
            [(SESSION, 2, {"state": SessionState.LOST}), (SESSION, 5, {"state": SessionState.READY})],
            [(Cause.SESSION_LOST, 2, 5)],
        ),
        ([(STATE, 3, {"state": TradingState.CANCEL_ONLY, "why": Why.LEAVING})], []),
        ([(STATE, 3, {"state": TradingState.CANCEL_ONLY, "why": Why.LOSS_LIMIT})], [(Cause.STATE, 3, 3)]),
        ([(STATE, 3, ALARM)], [(Cause.STATE, 3, 3)]),
        ([(SESSION, 3, {"state": SessionState.LOST}), (STATE, 3, ALARM)], [(Cause.SESSION_LOST, 3, 3)]),
        ([(RecordKind.DIFFERENCE, 4, {"theirs_lots": 1}), (STATE, 4, ALARM)], [(Cause.ACCOUNT, 4, 4)]),
        ([(RecordKind.REPORT, 4, {"outcome": Applied.UNKNOWN_ORDER}), (STATE, 4, ALARM)], [(Cause.NOT_BELIEVED, 4, 4)]),
        ([(RecordKind.HOLDING, 1, {"strategy": ACCOUNT, "position_lots": 3})], [(Cause.CARRIED, 1, 1)]),
        ([(RecordKind.HOLDING, 1, {"strategy": 0, "position_lots": 3})], []),
        ([(RecordKind.HOLDING, 1, {"strategy": ACCOUNT})], []),
    ],
)
def test_what_a_journal_tells(records: list, found: list[tuple[Cause, int, int]]) -> None:
    assert happened(*records) == found


def test_differences_of_one_cause_are_one_finding_while_they_are_near() -> None:
    findings = Findings()
    for time_ns in (0, 10**9, 2 * 10**9 + 1):
        findings.add(Cause.LATE, "x", time_ns, order_id=time_ns + 1)
    findings.add(Cause.LATE, "y", 0)
    counts = [(each.venue, each.count) for each in findings.in_order()]
    assert counts == [("x", 2), ("y", 1), ("x", 1)]
