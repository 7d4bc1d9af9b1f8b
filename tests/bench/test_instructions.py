"""`crosswire bench instructions` counts what is executed, and where."""

import json

import pytest

from tests.bench.instructions import KINDS, measure, summary_of
from tests.bench.order_entry import STAGES
from tests.bench.order_entry_c import why_not

TRIGGERS = 5


def test_counts_are_those_of_the_trace_and_both_lines_have_every_stage(tmp_path):
    if why_not():
        pytest.skip(why_not())
    results = measure(TRIGGERS, True, tmp_path)
    for who, rows in results.items():
        trace = [line.split("\t") for line in (tmp_path / f"{who}.txt").read_text().splitlines()]
        for stage in range(len(STAGES)):
            executed = [text for at, _, text in trace if int(at) == stage]
            assert bool(executed) == (rows[KINDS[0]][stage] > -1)
            assert abs(rows[KINDS[0]][stage] - len(executed)) < 0.3 * len(executed) + 10
        calls = sum(text.startswith("call") for at, _, text in trace if int(at) >= 0)
        assert abs(sum(rows["calls"]) - calls) <= 0.1 * calls + 2  # the last trigger, beside the mean of all
    everything = json.loads(json.dumps(summary_of(TRIGGERS, results)))["all"]
    assert 900 < everything["C"][KINDS[0]] < 1_300
    assert everything["ours"][KINDS[0]] > everything["C"][KINDS[0]]
