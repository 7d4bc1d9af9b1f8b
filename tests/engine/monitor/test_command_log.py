"""The monitor's record of commands: what stands there after a restart, a torn line, too many refusals, a full disk."""

import json
import os
from pathlib import Path

import pytest

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.command_log import FILE, REFUSED_BURST, TEXT_LETTERS_MAX, CommandLog, detail_of

pytestmark = pytest.mark.control

REFUSAL = m.Refusal(m.Reason.ROLE, "no")


def outcomes(log: CommandLog) -> list[tuple[str, str]]:
    return [(row.request, row.outcome) for row in log.last(m.LOG_LINES_MAX)]


def test_a_command_is_shown_as_it_ended_and_after_a_restart_too(tmp_path: Path) -> None:
    with CommandLog(tmp_path) as log:
        number = log.begin("olga", "operator", m.Pause())
        assert outcomes(log) == [("pause", "begun")]
        log.end(number, "olga", "operator", m.Pause(), "done", "paused")
        log.refuse("vera", "viewer", m.Kill(), REFUSAL)
        log.begin("olga", "operator", m.Kill())
    with CommandLog(tmp_path) as log:
        assert outcomes(log) == [("pause", "done"), ("kill", "role"), ("kill", "begun")]
        assert log.begin("olga", "operator", m.Pause()) == 3
        assert [row.request for row in log.last(1)] == ["pause"]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_torn_costs_itself_alone(tmp_path: Path) -> None:
    with CommandLog(tmp_path) as log:
        log.end(log.begin("olga", "operator", m.Pause()), "olga", "operator", m.Pause(), "done", "")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"number": 2, "time_ns": 1, "cli')
    with CommandLog(tmp_path) as log:
        log.end(log.begin("olga", "operator", m.Kill()), "olga", "operator", m.Kill(), "done", "")
    with CommandLog(tmp_path) as log:
        assert outcomes(log) == [("pause", "done"), ("kill", "done")]
    lines = (tmp_path / FILE).read_text().splitlines()
    assert [line.endswith("}") for line in lines] == [True, True, False, True, True]


def test_of_a_long_log_the_last_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CommandLog(tmp_path) as log:
        for _ in range(20):
            log.end(log.begin("olga", "operator", m.Pause()), "olga", "operator", m.Pause(), "done", "")
    whole = (tmp_path / FILE).read_bytes()
    last = b"\n".join(whole.splitlines()[-6:]) + b"\n"
    monkeypatch.setattr("crosswire.engine.monitor.command_log.TAIL_BYTES", len(last) + 10)
    with CommandLog(tmp_path) as log:
        assert outcomes(log) == [("pause", "done")] * 3
        assert log.begin("olga", "operator", m.Kill()) == 21
    assert (tmp_path / FILE).read_bytes().startswith(whole)


def test_what_is_asked_of_some_is_said_in_words() -> None:
    assert detail_of(m.CancelAll(venue="deribit", strategy="basis")) == "venue deribit, strategy basis"
    assert detail_of(m.CancelAll()) == detail_of(m.Pause()) == detail_of(m.Confirm(token="secret")) == ""
    assert detail_of(m.Set(values={"a": "1", "b": "2"})) == "a = 1, b = 2"


def test_too_many_refusals_are_counted_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CommandLog(tmp_path) as log:
        monkeypatch.setattr(log._refusals, "rate_per_s", 0.0)
        for _ in range(REFUSED_BURST + 50):
            log.refuse("vera", "viewer", m.Kill(), REFUSAL)
        assert log.left_out == 50
        monkeypatch.setattr(log._refusals, "rate_per_s", 1e9)
        log.refuse("vera", "viewer", m.Pause(), REFUSAL)
        assert log.left_out == 0
        last = log.last(2)
        assert [row.outcome for row in last] == ["left_out", "role"]
        assert last[0].text.startswith("50 ")
    assert len((tmp_path / FILE).read_text().splitlines()) == REFUSED_BURST + 2


def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with CommandLog(tmp_path) as log:
        number = log.begin("olga", "operator", m.Pause())
        monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:10]))
        with pytest.raises(OSError, match="no room"):
            log.end(number, "olga", "operator", m.Pause(), "done", "")
        monkeypatch.undo()
        log.end(number, "olga", "operator", m.Pause(), "done", "")
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["begun", "done"]


def test_a_log_that_others_could_write_or_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("")
    (tmp_path / FILE).chmod(0o666)
    with pytest.raises(ControlError, match="could be changed"):
        CommandLog(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ControlError, match="can't be written"):
        CommandLog(tmp_path)


def test_what_a_client_wrote_is_one_line_of_bounded_length(tmp_path: Path) -> None:
    request = m.Set(values={"a\nb" * 2000: "\x00\u2028"})
    assert len(detail_of(request)) == TEXT_LETTERS_MAX
    with CommandLog(tmp_path) as log:
        log.refuse("tess", "trader", request, REFUSAL)
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 1
