"""The table of docs/doctor.md, written from the checks themselves: `python -m tests.doctor_page` writes it anew."""

import tempfile
from pathlib import Path

from crosswire.nic.host.doctor.check import Question
from crosswire.nic.host.doctor.examine import GROUPS, questions
from tests.nic.host.doctor import test_checks, test_wires
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "doctor.md"
BEGIN, END = "<!-- checks: python -m tests.doctor_page -->\n", "<!-- end of checks -->\n"
ABOUT = {"host": "", "wire": "INTERFACE: ", "path": ""}


ILL = ("fail", "warn", "info")
FILE_MENDS = "chmod go-w PLACE; chown root PLACE; of a key: chmod 600 FILE"


def example_of(question: Question) -> str:
    """Say what mends a check of a host that the tests have made ill: its loop is on core 2, its interface eth1."""
    if question.about == "path":
        return FILE_MENDS
    mends = []
    with tempfile.TemporaryDirectory() as folder:
        if question.about == "host":
            hosts = [each for each in test_checks.CASES if each.name == question.name and each.severity in ILL]
            hosts.sort(key=lambda each: (not each.sets, ILL.index(each.severity)))
            mends = [test_checks.check_of(each, Path(folder, str(at))).mend for at, each in enumerate(hosts)]
        else:
            wires = [each for each in test_wires.CASES if each.name == question.name and each.severity in ILL]
            wires.sort(key=lambda each: (not each.sets, ILL.index(each.severity)))
            mends = [test_wires.check_of(each, Path(folder, str(at))).mend for at, each in enumerate(wires)]
    return next((each for each in mends if each), "nothing: it is a decision")


def table() -> str:
    """Write every check with its reason and its source, by file."""
    lines = []
    for module in GROUPS:
        title = module.__name__.rpartition(".")[2]
        lines += [
            f"### {title.capitalize()} (`nic/host/doctor/{title}.py`)",
            "",
            "| check | why | what mends it, as | source |",
            "|---|---|---|---|",
        ]
        asked = [each for about in ABOUT for each in questions(about) if each.ask.__module__ == module.__name__]
        for each in asked:
            about = " of FILE" if each.about == "path" else ""
            lines.append(f"| {ABOUT[each.about]}{each.name}{about} | {each.why} | {example_of(each)} | {each.source} |")
        lines.append("")
    return "\n".join(lines)


def written() -> str:
    """Return the page as it should be."""
    text = PAGE.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n" + table() + "\n" + text[text.index(END) :]


if __name__ == "__main__":
    PAGE.write_text(written())
