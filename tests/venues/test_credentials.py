"""An API key's file: who may read it, and that no error tells what is in it."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.nic.memory.struct import Struct
from crosswire.venues.credentials import load_credentials
from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.exchange.state import ApiKey
from crosswire.venues.starbase.orders.session import make_starbase_session
from tests.support.order_setup import VENUE, make_flow, make_market
from tests.support.paths import ROOT

SECRET = "s3cr3t-s3cr3t"
GOOD = f'client_id = "abc"\nsecret = "{SECRET}"'
SOMEBODY = 12_345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_good_file_is_read_and_its_secret_shown_by_no_text(tmp_path: Path) -> None:
    credentials = load_credentials(write(tmp_path, f'client_id = "abc"\nsecret = "{SECRET}"'))
    assert (credentials.client_id, credentials.secret) == ("abc", SECRET.encode())
    assert SECRET not in repr(credentials) + str(credentials) + f"{credentials}"


@pytest.mark.parametrize(
    ("text", "mode", "wrong"),
    [
        (f'client_id = "abc"\nsecret = "{SECRET}"', 0o640, "others may read these credentials; `chmod 600` it"),
        (f'client_id = "abc"\nsecret = "{SECRET}"', 0o604, "others may read these credentials; `chmod 600` it"),
        (f'secret = "{SECRET}"', 0o600, "client_id is missing, or not an ASCII text"),
        (f'client_id = "abc"\nsecret = "{SECRET}é"', 0o600, "secret is missing, or not an ASCII text"),
        ('client_id = "abc"\nsecret = 7', 0o600, "secret is missing, or not an ASCII text"),
        (f'client_id = "abc"\nsecret = "{SECRET}', 0o600, "credentials are not valid TOML"),
        (f'client_id = "abc"\nsecret = "{SECRET}"\n{SECRET} = 1', 0o600, "keys beside client_id and secret"),
    ],
)
def test_a_bad_file_is_refused_without_a_word_of_it(tmp_path: Path, text: str, mode: int, wrong: str) -> None:
    path = write(tmp_path, text, mode)
    with pytest.raises(VenueError) as caught:
        load_credentials(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(wrong)
    assert SECRET not in message
    assert caught.value.__cause__ is None


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VenueError, match=r"key.toml: credentials can't be read: No such file or directory$"):
        load_credentials(tmp_path / "key.toml")
    with pytest.raises(VenueError, match=r"credentials must be a plain file$"):
        load_credentials(tmp_path)


def refused(path: Path, wrong: str) -> None:
    with pytest.raises(VenueError, match=wrong) as caught:
        load_credentials(path)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@as_root
def test_a_file_of_another_user_is_refused_however_it_is_reached(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    assert load_credentials(link).secret == SECRET.encode()
    os.chown(path, SOMEBODY, SOMEBODY)
    wrong = f"these credentials could be replaced: {path} belongs to user {SOMEBODY}$"
    refused(path, wrong)
    refused(link, wrong)
    os.chown(path, 0, 0)
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    refused(link, f"could be replaced: {link} belongs to user {SOMEBODY}$")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_file_that_others_could_put_another_in_place_of_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    path = write(folder, GOOD)
    folder.chmod(mode)
    if mode & 0o1000:  # as /tmp: nobody can replace what is ours
        assert load_credentials(path).secret == SECRET.encode()
    else:
        refused(path, f"could be replaced: {folder} can be written to by others$")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(tmp_path / "pipe", "credentials must be a plain file$")


LOADING = """
import ctypes, os, resource, sys
from pathlib import Path
from crosswire.venues.credentials import load_credentials

key = load_credentials(Path(sys.argv[1]))
print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))  # PR_GET_DUMPABLE
print(Path("/proc/self/cmdline").read_text(), Path("/proc/self/environ").read_text())
child = os.fork()
if child == 0:
    os.abort()
print(os.WCOREDUMP(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_holds_a_key_dumps_no_core_and_shows_it_in_no_list(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    unlimited = resource.getrlimit(resource.RLIMIT_CORE)[1]
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (unlimited, unlimited)),
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "0 (0, 0)"
    assert lines[-1] == "False"
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["logon", "session", "exchange"])
def test_no_text_of_a_struct_shows_a_secret(kind: str) -> None:
    session = make_starbase_session(VENUE, make_market(), (make_flow(),), b"abc", SECRET.encode())
    if kind == "logon":
        struct: Struct = session.links[0].templates.logon
    elif kind == "session":
        struct = session
    else:
        struct = ApiKey()
        for position, byte in enumerate(SECRET.encode()):
            struct.secret[position] = byte
    assert SECRET.encode() in (bytes(session.links[0].templates.logon) if kind != "exchange" else bytes(struct))
    text = repr(struct)
    assert SECRET not in text
    assert str(list(SECRET.encode()))[1:-1] not in text
    if kind != "session":  # whose text ends before
        assert "secret=<hidden>" in text
