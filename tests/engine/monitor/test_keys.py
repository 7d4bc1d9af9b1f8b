"""The keys of the control plane: how they are made, and what is refused."""

import os
from pathlib import Path

import pytest
import zmq

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor.keys import (
    CLIENTS,
    CLIENTS_MAX,
    load_client_key,
    load_clients,
    load_server_key,
    make_keys,
)
from crosswire.engine.monitor.messages import Role

pytestmark = pytest.mark.control


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_the_first_client_gets_the_servers_pair_too_and_each_can_read_its_own(folder: Path) -> None:
    written = make_keys(folder, "anna", Role.TRADER)
    assert [path.name for path in written] == ["server.key", "server.pub", "anna.key", CLIENTS]
    assert {path.name: path.stat().st_mode & 0o777 for path in written if path.suffix == ".key"} == {
        "server.key": 0o600,
        "anna.key": 0o600,
    }
    assert [path.name for path in make_keys(folder, "bob", Role.VIEWER)] == ["bob.key", CLIENTS]
    known = load_clients(folder)
    assert {each.name: each.role for each in known.values()} == {"anna": Role.TRADER, "bob": Role.VIEWER}
    anna, server = load_client_key(folder, "anna"), load_server_key(folder)
    assert zmq.curve_public(anna.secret) == anna.public
    assert anna.server == server.public
    assert {each.public for each in known.values()} == set(known)


def test_no_text_of_a_key_shows_its_secret(folder: Path) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    for key in (load_client_key(folder), load_server_key(folder)):
        assert key.secret.decode() not in f"{key!r}{key}"


def test_a_client_may_bring_its_own_public_key(folder: Path, tmp_path: Path) -> None:
    make_keys(folder, "anna", Role.TRADER)
    public = zmq.curve_keypair()[0].decode()
    assert [path.name for path in make_keys(folder, "bob", Role.VIEWER, public)] == [CLIENTS]
    assert not (folder / "bob.key").exists()
    before = (folder / CLIENTS).read_text()
    with pytest.raises(ControlError, match="bob has this key"):
        make_keys(folder, "carol", Role.VIEWER, public)
    with pytest.raises(ControlError, match="no key of 40 Z85 letters"):
        make_keys(folder, "carol", Role.VIEWER, public[:-1] + "é")
    with pytest.raises(ControlError, match="bob is on it"):
        make_keys(folder, "bob", Role.TRADER)
    assert (folder / CLIENTS).read_text() == before


@pytest.mark.parametrize("name", ["server", "../anna", "", "a b", "a\nb", "a" * 33])
def test_a_name_that_leads_elsewhere_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ControlError, match="a name is letters"):
        make_keys(folder, name, Role.VIEWER)
    assert not folder.exists()


def test_which_client_is_asked_where_there_are_several(folder: Path) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    assert load_client_key(folder).name == "anna"
    make_keys(folder, "bob", Role.VIEWER)
    with pytest.raises(ControlError, match="has anna, bob: say which, --as NAME"):
        load_client_key(folder)
    with pytest.raises(ControlError, match=r"carol.key: .*No such file"):
        load_client_key(folder, "carol")


@pytest.mark.parametrize("public", ["short", ""])
def test_nothing_is_written_where_a_client_is_refused(folder: Path, public: str) -> None:
    folder.mkdir(mode=0o700)
    (folder / "anna.key").write_text("somebody's")
    with pytest.raises(ControlError, match="no key of 40" if public else "never overwritten"):
        make_keys(folder, "anna", Role.VIEWER, public)
    assert os.listdir(folder) == ["anna.key"]


@pytest.mark.parametrize("place", ["server.key", "anna.key"])
def test_a_secret_that_others_can_read_is_refused(folder: Path, place: str) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    (folder / place).chmod(0o640)
    with pytest.raises(ControlError, match="others may read these keys; `chmod 600` it"):
        load_server_key(folder) if place == "server.key" else load_client_key(folder)


@pytest.mark.parametrize("place", [CLIENTS, "server.pub"])
def test_a_list_that_others_can_write_is_refused(folder: Path, place: str) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    (folder / place).chmod(0o622)
    with pytest.raises(ControlError, match=f"{place}: could be replaced: .* can be written to by others"):
        load_clients(folder) if place == CLIENTS else load_client_key(folder)


def test_a_folder_that_others_can_write_is_refused_before_a_key_is_put_there(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ControlError, match="could be replaced"):
        make_keys(folder, "anna", Role.VIEWER)
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[anna", "is not valid TOML"),
        ('anna = "trader"', "anna: must be a table"),
        ('[anna]\nkey = "{key}"\nrole = "root"', "role = root: must be viewer, operator, trader"),
        (f'[{"a" * 33}]\nkey = "{{key}}"\nrole = "viewer"', "a name is letters"),
        ('[anna]\nkey = "short"\nrole = "viewer"', "no key of 40"),
        ('[anna]\nkey = "{key}"\nrole = "viewer"\nextra = 1', "must be a table with key and role"),
        ('[anna]\nkey = "{key}"\nrole = "viewer"\n[bob]\nkey = "{key}"\nrole = "trader"', "bob has the key of anna"),
        ("\n".join(f"[c{n}]\nkey = 1" for n in range(CLIENTS_MAX + 1)), "65 clients, must be at most 64"),
        ("# " + "x" * 40_000, "is longer than"),
    ],
)
def test_a_list_that_is_not_one_is_refused_whole(folder: Path, text: str, wrong: str) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    (folder / CLIENTS).write_text(text.replace("{key}", zmq.curve_keypair()[0].decode()))
    with pytest.raises(ControlError, match=wrong):
        load_clients(folder)


def test_a_pair_whose_halves_do_not_belong_together_is_refused_without_a_word_of_it(folder: Path) -> None:
    make_keys(folder, "anna", Role.VIEWER)
    place = folder / "anna.key"
    secret = zmq.curve_keypair()[1]
    place.write_text(f'public = "{zmq.curve_keypair()[0].decode()}"\nsecret = "{secret.decode()}"\n')
    with pytest.raises(ControlError, match="not the key that belongs to secret") as caught:
        load_client_key(folder)
    assert secret.decode() not in str(caught.value)
    place.write_text(f'secret = "{secret.decode()}\n')
    with pytest.raises(ControlError, match="is not valid TOML") as caught:
        load_client_key(folder)
    assert secret.decode() not in str(caught.value)
