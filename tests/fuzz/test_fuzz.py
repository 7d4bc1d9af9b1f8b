"""The corpus again, as machine code, each packet before an unreadable page: nothing is read past its end."""

import hashlib
import os
import random
import subprocess
import sys

import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.support.paths import ROOT

pytestmark = pytest.mark.fuzz
MUTATIONS = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000")) // 100  # of each target, compiled


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


def corpus_of(target: Target) -> list[bytes]:
    return [path.read_bytes() for path in sorted(target.corpus.iterdir())]


def test_the_corpus_breaks_no_rule(target: Target) -> None:
    inputs = corpus_of(target)
    assert len(inputs) >= 4
    for data in inputs:
        target.run(data)


def test_the_corpus_has_every_seed(target: Target) -> None:
    """`python -m tests.fuzz TARGET --write-seeds` after a change of a wire."""
    kept = {path.name for path in target.corpus.iterdir()}
    assert {f"seed-{hashlib.sha256(data).hexdigest()[:12]}" for data in target.seeds()} <= kept


def test_every_cut_and_a_few_mutations_break_no_rule(target: Target) -> None:
    """What coverage does not need to guide to: inputs that end early, and bytes at their limits."""
    draw = random.Random(20261128)
    inputs = corpus_of(target)
    for number in range(MUTATIONS):
        data = bytearray(draw.choice(inputs))
        for _ in range(draw.randrange(1, 4)):
            if data:
                data[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        if number % 2 and data:
            del data[draw.randrange(len(data)) :]
        target.run(bytes(data))


@pytest.mark.skipif(NO_JIT, reason="once is enough")
def test_the_fuzzer_itself_runs(tmp_path: object) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("atheris", reason="`make fuzz` installs it")
    command = [sys.executable, "-m", "tests.fuzz", "packet", "--seconds", "2", "--found", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "stat::number_of_executed_units" in done.stderr
