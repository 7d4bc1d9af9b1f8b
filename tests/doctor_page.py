"""The table of docs/doctor.md, written from the checks themselves: `python -m tests.doctor_page` writes it anew."""

from crosswire.nic.host.doctor.examine import GROUPS, questions
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "doctor.md"
BEGIN, END = "<!-- checks: python -m tests.doctor_page -->\n", "<!-- end of checks -->\n"
ABOUT = {"host": "", "wire": "INTERFACE: ", "path": ""}


def table() -> str:
    """Write every check with its reason and its source, by file."""
    lines = []
    for module in GROUPS:
        title = module.__name__.rpartition(".")[2]
        lines += [
            f"### {title.capitalize()} (`nic/host/doctor/{title}.py`)",
            "",
            "| check | why | source |",
            "|---|---|---|",
        ]
        asked = [each for about in ABOUT for each in questions(about) if each.ask.__module__ == module.__name__]
        for each in asked:
            about = " of FILE" if each.about == "path" else ""
            lines.append(f"| {ABOUT[each.about]}{each.name}{about} | {each.why} | {each.source} |")
        lines.append("")
    return "\n".join(lines)


def written() -> str:
    """Return the page as it should be."""
    text = PAGE.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n" + table() + "\n" + text[text.index(END) :]


if __name__ == "__main__":
    PAGE.write_text(written())
