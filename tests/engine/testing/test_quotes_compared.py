"""The harness against the engine: a quoting strategy hears the same of both, one thing after another.

The engine sends real frames to the simulated Starbase; the harness is given the two answers that its market decides.
Uncompiled, in a process of its own: that is quicker than compiling an exchange.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.build.run import build_run
from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.testing import CANCEL_BY_ID, QUOTE, Harness, SentQuote, fill, inverse, linear, reject, rest
from crosswire.venues.order import RejectReason
from crosswire.venues.starbase.rate_limits import MESSAGE_TOKENS
from crosswire.venues.token_bucket import set_request_bucket
from tests.engine.testing.quoter import BEGIN_NS, STEP_NS, STEPS, Quoter, Told, told
from tests.support.order_desk import CHANGES
from tests.support.paths import ROOT
from tests.support.short_run import finish
from tests.support.uncompiled import printed_uncompiled

WOULD_TAKE_TAG, TAKES_TAG, REFUSED_TAG = 10, 12, 14
QUOTES_TAKEN = 8  # before the one that is to be refused


def told_by_the_engine(folder: Path) -> list[Told]:
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=1)
    (folder / "examples").mkdir()
    text = (ROOT / "examples" / "starbase.toml").read_text()
    for given, changed in CHANGES.items():
        assert given in text
        text = text.replace(given, changed)
    strategy = f'[strategy]\nuse = "{Path(__file__).with_name("quoter.py")}:Quoter"\n\n[strategy.parameters]\n'
    parameters = 'quoted = "starbase/BTC-PERPETUAL"\nother = "bridge/BTCUSDT"\n\n'
    path = folder / "examples" / "run.toml"
    path.write_text(f'name = "quoter"\n{strategy}{parameters}{text[text.index("[limits]") :]}')
    run = build_run(load_config(path), path)
    run.load()
    # The venue refuses as one too many what its session, whose bucket is larger, does not hold back.
    for bucket in run.parts[0].exchange.gateways.quote_tokens:
        set_request_bucket(bucket, 1, QUOTES_TAKEN * MESSAGE_TOKENS)
    finish(run)
    return told(run.core.strategies[0])


def told_by_the_harness() -> list[Told]:
    harness = Harness(
        Quoter,
        {"quoted": "q", "other": "o"},
        {"q": inverse(), "o": linear()},
        unsupported={"o": {QUOTE, CANCEL_BY_ID}},
    )

    def decide_quote(quote: SentQuote) -> Any:
        if quote.bid.tag == WOULD_TAKE_TAG:
            return reject(reason=RejectReason.WOULD_TAKE), rest()
        if quote.bid.tag == REFUSED_TAG:
            return reject(reason=RejectReason.RATE_LIMIT)
        return (fill(), rest()) if quote.bid.tag == TAKES_TAG else rest()

    harness.decide_quote = decide_quote
    harness.set_book_ticks("o", [(10_000, 100)], [(10_001, 100)])
    harness.set_book_ticks("q", [(10_000, 100)], [(10_001, 100)])
    harness.advance(BEGIN_NS + STEPS * STEP_NS)
    return told(harness.strategy)


def told_by_both() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return msgspec.json.encode([told_by_the_engine(Path(folder)), told_by_the_harness()]).decode()


def test_the_harness_tells_a_quoting_strategy_what_the_engine_does() -> None:
    printed = printed_uncompiled("tests.engine.testing.test_quotes_compared", "told_by_both")
    by_engine, by_harness = msgspec.json.decode(printed, type=list[list[Told]])
    assert by_harness == by_engine
    assert {row.step for row in by_engine} == set(range(STEPS)), "a step of which nothing came"
