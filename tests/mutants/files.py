"""Which tests are a source file's own, and which files an area is.

A test that needs other processes, namespaces or a minute uncompiled is left out: `make test` has it.
"""

from collections.abc import Iterator

RISK = [f"tests/risk/test_{name}.py" for name in ("trading_state", "ledger", "gate", "more_limits")]
TCP = [f"tests/nic/tcp/test_tcp{name}.py" for name in ("", "_send", "_ring", "_model", "_loss")]
JOURNAL = [
    "tests/nic/journal/test_journal.py",
    "--deselect=tests/nic/journal/test_journal.py::test_a_killed_writer_loses_nothing_that_it_committed",
]
RECOVERY = ["tests/engine/test_carry.py", "tests/engine/test_account.py"]
STARBASE = "tests/venues/starbase/test_starbase"

# By area: source files, and their tests.
AREAS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "risk": (
        tuple(
            f"risk/{name}.py"
            for name in ("position", "ledger", "gate", "exposure", "activity", "prices", "trading_state", "limits")
        ),
        RISK,
    ),
    "order": (("venues/order.py",), ["tests/venues/test_order.py", *RISK]),
    "orders": (("engine/orders.py",), ["tests/engine/test_cancels.py", "tests/engine/test_desk.py"]),
    "recovery": (
        ("engine/account.py", *(f"engine/journal/{name}.py" for name in ("carry", "opening", "reconcile"))),
        ["tests/engine/test_carry.py"],
    ),
    "journal": (tuple(f"nic/journal/{name}.py" for name in ("format", "journal", "reader", "walk", "files")), JOURNAL),
    "legs": (
        tuple(f"strategies/{name}.py" for name in ("legs", "leg_parameters", "plan", "cross_spread")),
        ["tests/strategies"],
    ),
    "matching": (
        tuple(f"venues/exchange/{name}.py" for name in ("matching", "gateways", "order_entry", "ring", "simulated")),
        ["tests/venues/exchange"],
    ),
    "bridge-reports": (("venues/bridge/orders/session.py",), ["tests/venues/bridge/test_bridge_orders.py"]),
    "tcp": (
        tuple(f"nic/tcp/{name}.py" for name in ("segment", "state", "receive", "send", "tcp", "connection", "ring")),
        TCP,
    ),
    "starbase-matching": (
        tuple(f"venues/starbase/exchange/matching/{name}.py" for name in ("matching", "amend", "quotes", "state")),
        [f"{STARBASE}_{name}.py" for name in ("matching", "exchange", "rules")],
    ),
    "starbase-reports": (
        tuple(f"venues/starbase/orders/{name}.py" for name in ("answers", "reports", "fills", "telling")),
        [f"{STARBASE}_{name}.py" for name in ("orders", "resume", "rules")],
    ),
}


def files_of(target: str) -> Iterator[tuple[str, list[str]]]:
    """Each source file of an area, or the one named, and its tests; nothing if there is none of that name."""
    for area, (files, tests) in AREAS.items():
        for file in files:
            if target in (area, file, "all"):
                yield file, tests
