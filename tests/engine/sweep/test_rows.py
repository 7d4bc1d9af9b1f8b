"""What a sweep keeps of its sets: whole files, damaged ones named, and nothing mixed up."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.sweep.rows import ROWS, Row, read_rows, row_path, write_row
from crosswire.nic.warning import DataWarning

WARNING = DataWarning(kind="gaps", count=3, first_place="a.pcap", what_to_do="record again")


def some_row(number: int) -> Row:
    return Row(
        number=number,
        settings=["a=1", "b=x"],
        digest="1f-2e",
        currency="USD",
        net=Decimal("-12.000000001"),
        fills=7,
        warnings=[WARNING],
        interval_ns=10,
        intervals=[5, 7],
        profit=[0.5, -12.5],
        compiled=["loop"],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ROWS).mkdir()
    return tmp_path


def test_a_row_is_read_as_it_was_written(folder: Path) -> None:
    rows = {3: some_row(3), 12: Row(number=12, settings=["a=2", "b=x"], error="no such thing")}
    for row in rows.values():
        write_row(folder, row)
    assert read_rows(folder) == (rows, [])


def test_all_rows_are_one_dataset(folder: Path) -> None:
    import pyarrow.parquet as pq

    for number in range(3):
        write_row(folder, some_row(number))
    assert pq.read_table(folder / ROWS).column("number").to_pylist() == [0, 1, 2]


@given(st.data())
def test_a_damaged_row_is_named_and_missing_whatever_became_of_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / ROWS).mkdir()
    write_row(folder, some_row(0))
    write_row(folder, some_row(1))
    path = row_path(folder, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    rows, damaged = read_rows(folder)
    assert rows == {0: some_row(0)}
    assert len(damaged) == 1
    assert str(path) in damaged[0]
    assert "\n" not in damaged[0]


def test_a_row_under_another_sets_name_is_not_believed(folder: Path) -> None:
    write_row(folder, some_row(0))
    row_path(folder, 0).rename(row_path(folder, 4))
    rows, damaged = read_rows(folder)
    assert not rows
    assert "holds set 0" in damaged[0]


def test_half_written_rows_are_no_rows(folder: Path) -> None:
    (folder / ROWS / "set-00001.parquet.partial").write_bytes(b"PAR1")
    assert read_rows(folder) == ({}, [])
