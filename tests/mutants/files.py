"""Which tests are a source file's own, the quickest first, and which files an area is."""

GATE = ["tests/risk/test_trading_state.py", "tests/risk/test_ledger.py", "tests/risk/test_gate.py"]
RISK = [*GATE, "tests/risk/test_more_limits.py"]

TESTS: dict[str, list[str]] = {
    **{
        f"risk/{name}.py": RISK
        for name in ("position", "ledger", "gate", "exposure", "activity", "prices", "trading_state")
    },
    "venues/order.py": ["tests/venues/test_order.py", "tests/risk"],
}

AREAS: dict[str, list[str]] = {}
for _file in TESTS:
    AREAS.setdefault(_file.split("/")[0], []).append(_file)
