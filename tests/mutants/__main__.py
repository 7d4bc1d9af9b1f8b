"""Run the mutants of an area or of one source file, uncompiled, and say which the file's own tests don't find."""

import argparse
import ast
import json
import os
import random
import sys
import time
from collections import Counter

os.environ["CROSSWIRE_NO_JIT"] = "1"  # before anything of crosswire is imported

from tests.mutants.files import AREAS, files_of
from tests.mutants.mutate import Mutant, mutants_of
from tests.mutants.run import ROOT, Run


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("target", help=f"a source file, or an area: {', '.join(AREAS)}")
    parser.add_argument("--seconds", type=float, default=600, help="for each file; what is left then is not run")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which a file's mutants are run")
    parser.add_argument("--lines", default="", help="only mutants of these lines: 10-20")
    parser.add_argument("--tests", nargs="*", default=[], help="in place of the file's own")
    options = parser.parse_args()
    files = list(files_of(options.target))
    if not files:
        sys.exit(f"tests.mutants: {options.target} is no area or source file that tests/mutants/files.py names")
    first, _, last = options.lines.partition("-")
    lines = range(int(first), int(last or first) + 1) if first else range(1 << 20)
    for file, tests in files:
        # A process for each, which has imported nothing yet.
        child = os.fork()
        if child == 0:
            run_file(file, options.tests or tests, lines, options)
            sys.exit()
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(1)


def run_file(file: str, tests: list[str], lines: range, options: argparse.Namespace) -> None:
    """Run the mutants of one file in random order, and print each as a line of JSON, then their sum."""
    begun_s = time.monotonic()
    # What pytest prints goes nowhere.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    tree = ast.parse((ROOT / file).read_text())
    mutants = [mutant for mutant in mutants_of(tree) if mutant.line in lines]
    random.Random(options.seed).shuffle(mutants)
    counts: Counter[str] = Counter(survived=0, killed=0, timeout=0)

    def say(mutant: Mutant, found: str) -> None:
        counts[found] += 1
        print(json.dumps({"file": file, "line": mutant.line, "what": mutant.what, "found": found}), file=results)

    Run(ROOT / file, tree, tests, say).run(mutants, begun_s + options.seconds)
    total = {"file": file, "mutants": len(mutants), "run": counts.total(), **counts}
    print(json.dumps(total | {"seconds": round(time.monotonic() - begun_s)}), file=results)


if __name__ == "__main__":
    main()
