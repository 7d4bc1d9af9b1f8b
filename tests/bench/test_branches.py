"""`crosswire bench branches` counts what compiled code does."""

import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.nic.unit import branches
from crosswire.nic.unit.compile import NO_JIT, plain_function
from crosswire.venues.token_bucket import take_tokens

COUNT = """
import os, sys
from collections import defaultdict
from pathlib import Path
from crosswire.nic.unit.call import machine_code
from crosswire.venues.token_bucket import make_token_bucket, take_tokens
from tests.bench.branches import Counters, count_branches

folder = Path(sys.argv[1])
os.environ["CROSSWIRE_CACHE"] = str(folder / "cache")
(folder / "branches").mkdir()
counters = Counters(folder / "branches")
count_branches(counters)
shares = defaultdict(lambda: defaultdict(list))
take, bucket = machine_code(take_tokens), make_token_bucket(10, 5)
for calls in (100, 50):
    for now_ns in range(calls):
        take(bucket, 1, now_ns)
    counters.take(shares)
print(*counters.lines(shares), sep="\\n")
"""


@pytest.mark.skipif(NO_JIT, reason="counts in compiled code")
def test_shares_are_those_of_the_calls(tmp_path: Path) -> None:
    """Of a bucket of five, 95 of the first 100 calls get no token and all of the next 50: on the mean 0.975."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout.splitlines()
    counted = {line.split(" ")[1]: line.split(" ")[2:] for line in lines}
    digest, *shares = counted["take_tokens"]
    assert digest == branches.digest_of(plain_function(take_tokens))
    # No time has passed in one of the 100 calls, and in five of the 50, which go back before the last token was taken.
    # Of the others four of 99 get a token, and none of 45.
    assert shares == ["55", "20"]
    _, *shares = counted["_take"]
    assert shares == ["975"]
    # Time has passed whenever it is called, never so much that the bucket is full.
    _, *shares = counted["_credit_e9"]
    assert shares == ["0", "0"]
