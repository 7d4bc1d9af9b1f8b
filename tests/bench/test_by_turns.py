"""Two ways by turns: each round has both, in either order, and the ratio is with to without."""

from pathlib import Path

from tests.bench.by_turns import by_turns, compared

NAMES = ("alone", "beside")


def test_each_round_has_both_in_either_order_and_the_ratio_is_with_to_without() -> None:
    order: list[tuple[str, bool]] = []

    def one_run(folder: Path, is_with: bool) -> dict[str, float]:
        order.append((folder.name, is_with))
        return {"p50": 100.0, "p99": 200.0 + 100 * is_with + len(order)}

    found = by_turns(3, NAMES, one_run)
    assert order == [
        ("0-alone", False), ("0-beside", True),
        ("1-beside", True), ("1-alone", False),
        ("2-alone", False), ("2-beside", True),
    ]  # fmt: skip
    facts = compared(found, NAMES)
    assert (facts["alone_ns"], facts["beside_ns"]) == ({"p50": 100, "p99": 204}, {"p50": 100, "p99": 303})
    assert (facts["ratio_p99"], facts["rounds_ratio_p99"]) == (1.485, [1.502, 1.485, 1.493])
