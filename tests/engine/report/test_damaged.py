"""Run folders that lack a file, or have a damaged one: one line each, from every command, and no traceback."""

import random
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.support.command import ask

FILES = ["summary.json", "config.toml", *(f"{each}.parquet" for each in ("orders", "fills", "trades", "opportunities"))]
FILES += ["positions.parquet", "charges.parquet", "journal/000000.bin"]
FLIPS = 6  # of each file; half of them in its last bytes, where Parquet has its table of contents
END_BYTES = 2_000


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs" / "synthetic" / finished.name))


def asked(run: Path, other: Path, page: Path) -> dict[str, tuple[int, list[str], str]]:
    """What every command that reads a run's folder says to it."""
    commands: list[tuple[object, ...]] = [("show", run, kind, 1) for kind in ("opportunity", "trade", "order")]
    commands += [("compare", other, run, "--page", page), ("explain", run), ("journal", run, "--verify")]
    answers = {" ".join(map(str, (words[0], *words[2:3]))): ask(*words) for words in commands}
    return answers | {"runs": ask("runs", "-o", run.parent.parent)}


def is_one_line(answer: tuple[int, list[str], str]) -> bool:
    """Whether a refusal is one line; what is not refused may say what it likes."""
    code, _, error = answer
    # `compare` says by 1 that two runs differ.
    return code == 0 or len(error.strip().splitlines()) == 1 or (code == 1 and error == "")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_or_has_flipped_bits_is_one_line(
    finished: Path, copy: Path, tmp_path: Path, name: str
) -> None:
    content = (finished / name).read_bytes()
    chance = random.Random(name)
    damaged = [content[:length] for length in (0, 1, len(content) // 3, len(content) - 9, len(content) - 1)]
    for number in range(FLIPS):
        flipped = bytearray(content)
        last = min(END_BYTES, len(content)) if number % 2 else len(content)
        flipped[-chance.randint(1, last)] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for each in damaged:
        (copy / name).write_bytes(each)
        for command, answer in asked(copy, finished, tmp_path / "page.html").items():
            assert is_one_line(answer), (command, answer)


@pytest.mark.parametrize("name", ["orders.parquet", "positions.parquet"])
def test_no_figure_comes_from_a_page_whose_checksum_is_wrong(
    finished: Path, copy: Path, tmp_path: Path, name: str
) -> None:
    """Without checksums a flipped bit in a column's values was another value, and compared as one."""
    with pyarrow.parquet.ParquetFile(finished / name) as file:
        column = file.schema_arrow.names.index("qty_lots" if name.startswith("orders") else "cash_e9")
        place = file.metadata.row_group(0).column(column)
    content = bytearray((finished / name).read_bytes())
    end = (place.dictionary_page_offset or place.data_page_offset) + place.total_compressed_size
    for offset in range(end - 30, end):
        flipped = bytearray(content)
        flipped[offset] ^= 1
        (copy / name).write_bytes(flipped)
        code, _, error = ask("compare", finished, copy, "--page", tmp_path / "page.html")
        assert code == 2
        assert f"{copy / name} can't be read" in error
        assert f"crosswire report {copy} makes it anew" in error


def test_the_files_can_be_made_again_from_the_journal(finished: Path, copy: Path, tmp_path: Path) -> None:
    for each in copy.glob("*.parquet"):
        each.write_bytes(b"PAR1")
    (copy / "summary.json").write_text("{")
    assert ask("compare", finished, copy)[0] == 2
    assert ask("report", copy)[0] == 0
    code, lines, _ = ask("compare", finished, copy, "--page", tmp_path / "page.html")
    assert (code, lines[-1]) == (0, "no difference")


def test_a_file_of_another_version_is_named_with_what_it_lacks(finished: Path, copy: Path) -> None:
    for name, column, words in (
        ("orders.parquet", "trade_id", ("show", copy, "trade", 1)),
        ("positions.parquet", "cash_e9", ("compare", finished, copy)),
        ("charges.parquet", "amount_e9", ("compare", finished, copy)),
    ):
        table = pyarrow.parquet.read_table(finished / name)
        pyarrow.parquet.write_table(table.drop_columns([column]), copy / name)
        code, _, error = ask(*words)
        assert code != 0
        assert error == f"crosswire: {copy / name} has no column {column}; crosswire report {copy} makes it anew\n"
        shutil.copy(finished / name, copy / name)


def test_what_is_no_run_is_said_with_what_to_do(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "file", tmp_path / "empty"):
        for command in ("report", "explain", "journal"):
            said = f"crosswire: {folder}: holds no journal; name a run's folder, as runs/NAME/latest\n"
            assert ask(command, folder) == (1, [], said)
    for words, said in (
        (("runs", "-o", tmp_path / "file"), "there is no such folder"),
        (("runs", "-o", tmp_path / "empty"), "has no runs in it"),
        (("runs", "other", "-o", finished.parent.parent), "has no runs of the name other; there are synthetic"),
        (("runs", "..", "-o", finished.parent.parent), "has no runs of the name ..; there are synthetic"),
        (("journal", finished, "--instrument", "x/Y"), "--instrument x/Y: there are deribit/BTC-PERPETUAL, bridge/"),
        (("show", finished, "trade", 1, "--capture", "x=y"), "--capture x: the run has the venues deribit, bridge"),
    ):
        code, lines, error = ask(*words)
        assert (code, lines) == (1, [])
        assert said in error
        assert len(error.splitlines()) == 1
