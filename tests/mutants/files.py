"""Which tests are a source file's own, and which files an area is.

A test that needs other processes, namespaces or a minute uncompiled is left out: `make test` has it.
"""

from collections.abc import Iterator

RISK = [f"tests/risk/test_{name}.py" for name in ("trading_state", "ledger", "gate", "more_limits")]
STARBASE = "tests/venues/starbase/test_starbase"
STARBASE_ORDERS = (
    "orders", "answers", "quotes", "cancels", "fills", "session", "rules", "resend", "recovery", "versions",
)  # fmt: skip
STARBASE_MATCHING = ("matching", "matching_rules", "matching_ends", "mass_quotes", "requests", "whole_answers")
STARBASE_GATEWAY = ("gateway", "gateway_rules", "connections", "requests", "mass_quotes", "whole_answers", "kept")
TCP = ("", "_segment", "_receive", "_send", "_timers", "_ring", "_ring_rules", "_model", "_loss")
SLOW_JOURNAL = "killed or shared_journal_is or full_disk or that_is_full or follow_one_another or without_a_segment"
NOT_FUZZ = ["-k", "not fuzz"]  # nothing but that no byte is read which is not there
SOME_LONG = ["-k", "not fuzz and (not long_runs or 1-True or 2-False)"]
NO_EXCHANGE = ["-k", "not new_process and not fills_whose and not exchange_that_forgot"]
NOT_LONG = ["-k", "not fuzz and not long_runs and not open_orders_of_a and not never_read and not test_longer"]


def _named(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


# By area: source files, and their tests.
AREAS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "risk": (
        _named("risk", "position", "ledger", "gate", "exposure", "activity", "prices", "trading_state"),
        RISK,
    ),
    "limits": (_named("risk", "limits"), ["tests/risk/test_limits.py"]),
    "order": (_named("venues", "order"), ["tests/venues/test_order.py", *RISK]),
    "orders": (_named("engine", "orders"), ["tests/engine/test_orders.py", "tests/engine/test_heard.py"]),
    "recovery": (
        _named("engine/journal", "carry", "opening", "reconcile"),
        ["tests/engine/test_carry.py", "tests/engine/test_carried_records.py"],
    ),
    "admission": (
        _named("engine/monitor", "admission", "confirmation"),
        ["tests/engine/monitor/test_admission.py"],
    ),
    "command log": (
        _named("engine/monitor", "command_log"),
        ["tests/engine/monitor/test_command_log.py"],
    ),
    "keys": (_named("engine/monitor", "keys"), ["tests/engine/monitor/test_keys.py"]),
    "account": (_named("engine", "account"), ["tests/engine/test_account.py"]),
    "journal": (
        _named("nic/journal", "format", "journal", "reader", "walk", "files"),
        ["tests/nic/journal", "-k", f"not ({SLOW_JOURNAL})"],
    ),
    "legs": (
        _named("strategies", "legs", "trades", "plan", "leg_parameters"),
        ["tests/strategies", "-k", "not compiled_and_plain"],
    ),
    "matching": (_named("venues/exchange", "matching"), ["tests/venues/exchange/test_matching.py"]),
    "exchange": (
        _named("venues/exchange", "gateways", "order_entry", "ring", "simulated"),
        ["tests/venues/exchange/test_simulated.py"],
    ),
    "bridge-reports": (
        _named("venues/bridge/orders", "session"),
        ["tests/venues/bridge/test_bridge_reports.py", "tests/venues/bridge/test_bridge_orders.py", *NOT_FUZZ],
    ),
    "bridge-stream": (
        _named("venues/bridge/orders", "stream"),
        ["tests/venues/bridge/test_bridge_stream.py", "tests/venues/bridge/test_bridge_orders.py", *NOT_FUZZ],
    ),
    "tcp": (
        _named("nic/tcp", "state", "segment", "receive", "send", "tcp", "ring"),
        [*(f"tests/nic/tcp/test_tcp{name}.py" for name in TCP), "-k", "not path"],
    ),
    "tcp-connection": (_named("nic/tcp", "connection"), ["tests/nic/tcp/test_tcp_connection.py"]),
    "told": (_named("engine", "alarm", "ending"), ["tests/engine/test_alarm_words.py", "tests/engine/test_ending.py"]),
    "signals": (_named("nic/host", "signals"), ["tests/nic/host/test_signals_noted.py"]),
    "doctor": (
        _named(
            "nic/host/doctor", "lists", "cpu", "interrupts", "memory", "kernel", "clock", "interface", "files", "mend"
        ),
        ["tests/nic/host/doctor", "-k", "not dies_half_way and not whatever_it_says"],
    ),
    "venue-accounts": (_named("engine/live", "accounts"), ["tests/engine/live/test_accounts.py"]),
    "cross-spread": (
        _named("strategies", "cross_spread"),
        [
            *_named("tests/strategies", "test_cross_spread", "test_cross_spread_rules", "test_lots"),
            *["-k", "not compiled_and_plain"],
        ],
    ),
    "exposure": (
        _named("strategies", "exposure"),
        [*_named("tests/strategies", "test_exposure", "test_cross_spread"), "-k", "exposure or speed_bump or margin"],
    ),
    "starbase-resume": (
        _named("venues/starbase/orders", "resume"),
        [f"{STARBASE}_resume.py", *NO_EXCHANGE],
    ),
    "starbase-state": (
        _named("venues/starbase/orders", "state"),
        [*(f"{STARBASE}_{name}.py" for name in ("state", "session", "cancels", "resend")), *NOT_LONG],
    ),
    "starbase-matching": (
        _named("venues/starbase/exchange/matching", "matching", "amend", "quotes", "state"),
        [*(f"{STARBASE}_{name}.py" for name in STARBASE_MATCHING), *SOME_LONG],
    ),
    "starbase-gateway": (
        _named("venues/starbase/exchange/gateway", "gateway", "requests", "answers", "quotes", "send"),
        [*(f"{STARBASE}_{name}.py" for name in STARBASE_GATEWAY), *NOT_LONG],
    ),
    "starbase-reports": (
        _named("venues/starbase/orders", "answers", "reports", "fills", "telling", "quotes", "cancels", "session"),
        [*(f"{STARBASE}_{name}.py" for name in STARBASE_ORDERS), *NOT_LONG],
    ),
}


def files_of(target: str) -> Iterator[tuple[str, list[str]]]:
    """Each source file of an area, or the one named, and its tests; nothing if there is none of that name."""
    for area, (files, tests) in AREAS.items():
        for file in files:
            if target in (area, file, "all"):
                yield file, tests
