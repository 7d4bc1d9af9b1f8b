"""Mutants: one change in a source file, and whether its own tests find it.

    python -m tests.mutants risk --seconds 600      # one area, or a file; `make mutants TARGET=risk`

A mutant turns a comparison or a sign round, moves a constant by one, swaps `and` and `or`, or leaves a statement out
(`mutate.py`). It is run uncompiled: a fork imports the changed module in place of the file, and pytest stops at the
first test that fails (`run.py`). Which tests are a file's own is in `files.py`.

Of the tools for this neither serves: mutmut (3.8) leaves out every decorated function, which is all compiled code;
cosmic-ray (8.7) writes each mutant into the checkout, starts a process for each, and leaves out no statement.
"""
