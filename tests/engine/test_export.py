"""A run's journal, exported: row for row what `crosswire journal` shows."""

import resource
import signal
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.generate import generate_captures
from crosswire.engine.journal import export
from crosswire.engine.journal.show import Filter, journal_of, parse_kinds, show_records
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import segment_name
from crosswire.nic.journal.reader import JournalError
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=3)
    (folder / "examples").mkdir()
    config = folder / "examples" / "run.toml"
    config.write_text((ROOT / "examples" / "synthetic.toml").read_text().replace("seconds = 120", "seconds = 3"))
    return run_backtest(config, folder / "runs", started=0, with_report=False)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "GROUP_ROWS", 7)


def shown(run: Path, wanted: Filter) -> dict[str, list[dict[str, Any]]]:
    """What `crosswire journal` shows, by kind."""
    records = sorted(show_records(run, wanted), key=lambda record: str(record["kind"]))
    return {kind: list(group) for kind, group in groupby(records, key=lambda record: str(record["kind"]))}


@pytest.mark.parametrize("kinds", [[], ["order_sent", "order_ended"]])
def test_every_record_is_a_row(run: Path, tmp_path: Path, kinds: list[str]) -> None:
    wanted = Filter(parse_kinds(kinds))
    said: list[str] = []
    export.export(run, wanted, tmp_path / "out", said.append)
    expected = shown(run, wanted)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{kind}.parquet" for kind in expected}
    assert len(said) == len(expected) > 1
    for kind, records in expected.items():
        table = pyarrow.parquet.read_table(tmp_path / "out" / f"{kind}.parquet")
        texts = {field.name for field in table.schema if pyarrow.types.is_string(field.type)}
        assert table.to_pylist() == [
            {name: str(value) if name in texts else value for name, value in record.items()} for record in records
        ]
        assert all(isinstance(value, int) for record in records for name, value in record.items() if name not in texts)


def test_of_a_damaged_journal_no_file_is_left_that_looks_whole(run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "journal"
    damaged.mkdir()
    for path in sorted(journal_of(run).glob("*.bin")):
        (damaged / path.name).write_bytes(path.read_bytes())
    first = damaged / segment_name(0)
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    with pytest.raises(JournalError, match="segment 0, byte"):
        export.export(damaged, Filter(), tmp_path / "out", print)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_finds_no_room_is_gone_and_the_error_says_where(run: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # as a full disk does, it refuses the rest, too
    try:
        with pytest.raises(HostError, match=rf"{tmp_path / 'out'}: .*File too large"):
            export.export(run, Filter(), tmp_path / "out", print)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list((tmp_path / "out").glob(".*"))
