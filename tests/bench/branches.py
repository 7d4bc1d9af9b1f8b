"""`crosswire bench branches`: count which way the branches of our own functions go; writes nic/unit/branches.txt.

    crosswire bench branches

Counted are the hot line of `bench order-entry`, the strategies of `bench verdicts` on their recordings, backtests of
the other examples, and the captures of `bench backtest` with all best bid/ask messages. What a test came to is the mean
of the runs' shares, however long each is; the hot line counts as much as all others together, since an order waits for
it. Units are compiled anew, with two counters for each branch, into a store of their own. It takes five minutes; the
last line is one JSON object.
"""

import json
import mmap
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from llvmlite import ir

from crosswire.engine.backtest import run_backtest
from crosswire.nic.unit import branches
from crosswire.nic.unit.build import compiler_of_this_process
from tests.bench import backtest, verdicts
from tests.bench.order_entry_rig import OurRig
from tests.support.paths import ROOT

EXAMPLES = ("cycles", "deribit-binance", "synthetic")  # beside those of `bench verdicts`
MARKETS = ["btc", "starbase"]
HOT_LINE = "order entry"
TRIGGERS = 4_000
ZONES_MAX, BRANCHES_MAX = 64, 1 << 15  # processes that compile, and branches that each may count
ASKED, TRUE = 0, 1  # of a branch's two counters
I64 = ir.IntType(64)

Name = tuple[str, str]
Shares = dict[Name, dict[int, list[float]]]  # by function and test: of each run


class Counters:
    """Two counters for each compiled branch, in memory that forked compilers know, and this process's runs count in."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where each compiling process notes what its counters are of, in a file named by its zone."""
        self.folder = folder
        self.memory = mmap.mmap(-1, ZONES_MAX * BRANCHES_MAX * 16)
        self.counts = np.frombuffer(self.memory, np.int64).reshape(ZONES_MAX, BRANCHES_MAX, 2)
        self.process = self.zone = self.used = -1
        self.found: dict[Name, tuple[str, int]] = {}  # digest and number of tests

    def address_for(self, function: Callable[..., Any], ways: branches.Ways) -> int:
        """Address of two new counters, for a branch of a function."""
        if self.process != os.getpid():
            self.process, self.used = os.getpid(), 0
            self.zone = next(zone for zone in count() if is_new(self.folder / str(zone)))
        assert self.zone < ZONES_MAX, "more processes compile than were allowed for"
        assert self.used < BRANCHES_MAX, "more branches are compiled than were allowed for"
        tests = branches.tests_of(function.__code__)
        facts = (*branches.name_of(function), branches.digest_of(function), branches.test_count(tests), tests.get(ways))
        with open(self.folder / str(self.zone), "a") as file:
            file.write(json.dumps(facts) + "\n")
        self.used += 1
        return int(self.counts[self.zone, self.used - 1].ctypes.data)

    def take(self, shares: Shares) -> None:
        """Add one run's shares, and begin again."""
        sums: dict[tuple[Name, int], Any] = defaultdict(lambda: np.zeros(2, np.int64))
        for path in self.folder.iterdir():
            for place, line in enumerate(path.read_text().splitlines()):
                module, name, digest, tests, number = json.loads(line)
                # What a closure or a lambda does hangs on more than its source.
                if module.startswith("crosswire.") and "<" not in name and digest and number is not None:
                    self.found[module, name] = digest, tests
                    sums[(module, name), number] += self.counts[int(path.name), place]
        for (name, number), counts in sums.items():
            if counts[ASKED]:
                shares[name][number].append(counts[TRUE] / counts[ASKED])
        self.counts[:] = 0

    def lines(self, *groups: Shares) -> Iterator[str]:
        """Write the lines of branches.txt, from the mean of the groups' means."""
        for name in sorted(set().union(*groups)):
            digest, tests = self.found[name]
            told = []
            for test in range(tests):
                means = [mean(group[name][test]) for group in groups if group[name][test]]
                told.append(str(round(branches.WHOLE * mean(means))) if means else branches.NEVER)
            yield " ".join((*name, digest, *told))


def is_new(path: Path) -> bool:
    """Make an empty file; tell whether there was none."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def count_branches(counters: Counters) -> None:
    """Have the compilers that this process forks count at each branch."""
    backend = compiler_of_this_process()
    lower_inst = backend.UnitLower.lower_inst

    def lower_and_count(self: Any, inst: Any) -> None:
        lower_inst(self, inst)
        if not isinstance(inst, backend.numba_ir.Branch):
            return
        builder, branch = self.builder, self.builder.block.terminator
        address = counters.address_for(self.func_ir.func_id.func, backend.ways_of(inst))
        builder.position_before(branch)
        for place, more in ((ASKED, I64(1)), (TRUE, builder.zext(branch.operands[0], I64))):
            at = builder.inttoptr(I64(address + 8 * place), I64.as_pointer())
            builder.store(builder.add(builder.load(at), more), at)
        builder.position_at_end(builder.block)

    backend.UnitLower.lower_inst = lower_and_count


def runs(folder: Path) -> Iterator[str]:
    """Make the runs that are counted, one after another; their names."""
    rig = OurRig(TRIGGERS)
    rig.run()
    if problems := rig.problems():
        sys.exit(f"bench branches: {'; '.join(problems)}")
    yield HOT_LINE
    for case in verdicts.cases([], MARKETS):
        if case.fees == "example":
            verdicts.run_case(case, folder / f"{case.strategy}-{case.market}")
            yield f"{case.strategy}, {case.market}"
    for name in EXAMPLES:
        backtested(ROOT / "examples" / f"{name}.toml", folder / name)
        yield name
    quotes = folder / "quotes.toml"
    quotes.write_text(backtest.configuration(backtest.captures(), "_quotes"))
    backtested(quotes, folder / "quotes")
    yield "backtest, with quotes"


def backtested(config: Path, output: Path) -> None:
    run_backtest(config, output, started=time.perf_counter(), with_report=False)


def no_shares() -> Shares:
    return defaultdict(lambda: defaultdict(list))


def main() -> None:
    hot_line, others = no_shares(), no_shares()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CROSSWIRE_CACHE"] = f"{folder}/cache"
        (noted := Path(folder) / "branches").mkdir()
        counters = Counters(noted)
        count_branches(counters)
        for name in runs(Path(folder)):
            counters.take(hot_line if name == HOT_LINE else others)
            print(f"{name}: {len(counters.found)} functions so far", flush=True)
    lines = list(counters.lines(hot_line, others))
    branches.COUNTED.write_text("\n".join(lines) + "\n")
    print(json.dumps({"functions": len(lines), "tests": sum(line.count(" ") - 2 for line in lines)}))


if __name__ == "__main__":
    main()
