"""Every parser of outside bytes, fuzzed.

    python -m tests.fuzz TARGET --seconds 60        # coverage-guided, uncompiled, with atheris (`make fuzz`)
    pytest tests/fuzz                               # the corpus again, as machine code, before guard pages

A target takes bytes to the parser that they are for, and asserts what must hold afterwards (`target.py`). Its corpus is
in `corpus/<target>`: seeds that the project's own encoders make, and inputs that once found a fault, whose names say
which.
"""
