"""The report's list of what strategies have said (`log`)."""

from itertools import islice
from pathlib import Path

from crosswire.engine.report.columns import read_columns
from crosswire.engine.report.html import Page
from crosswire.engine.report.text import number_text, time_text

LINES_MAX = 200  # shown, the first ones


def add_log(page: Page, path: Path) -> None:
    """Add the first lines, if there are any, and say how many there are."""
    shown: list[tuple[str, str, str]] = []
    count = 0
    for rows in read_columns(path, ["time_ns", "strategy", "text"]):
        count += len(rows["time_ns"])
        each = zip(rows["time_ns"].tolist(), rows["strategy"].tolist(), rows["text"].tolist(), strict=True)
        shown += [(time_text(time_ns), name, said) for time_ns, name, said in islice(each, LINES_MAX - len(shown))]
    if not count:
        return
    page.note(f"What they said, {number_text(count)} lines; all are in {path.name}, and in crosswire journal.")
    page.table(["<time", "<strategy", "<<line"], shown)
