"""An API key's file: who may read it, and that no error tells what is in it."""

import os
from pathlib import Path

import pytest

from crosswire.venues.credentials import load_credentials
from crosswire.venues.errors import VenueError

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
