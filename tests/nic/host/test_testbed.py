"""Networks of the testbed: one brought up twice, what is missing of one, and names that a dead machine left."""

import re
import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from tests.support.net import own_testbed

NETNS = Path("/run/netns")


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def seen(testbed: Testbed) -> list[str]:
    """All that makes the network: namespaces by inode, interfaces by number, addresses, neighbours, routes, offload."""
    found = [str((NETNS / name).stat().st_ino) for name in (testbed.engine, testbed.exchange)]
    for name in (testbed.engine, testbed.exchange):
        found += [
            re.sub(r"\S+_lft \S+|used \S+", "", ip("-n", name, what, "show")) for what in ("address", "route", "neigh")
        ]
    for link in testbed.links:
        for name, interface in ((testbed.engine, link.engine_interface), (testbed.exchange, link.exchange_interface)):
            found.append(ip("netns", "exec", name, "ethtool", "-k", interface))
            found.append(ip("netns", "exec", name, "sysctl", f"net.ipv4.conf.{interface}.rp_filter"))
    return found


@pytest.mark.netns
def test_up_a_second_time_changes_nothing() -> None:
    with own_testbed("tb", links=2) as testbed:
        before = seen(testbed)
        again = Testbed(testbed.name, 2)
        assert again.up() == []
        assert again.describe([]) == f"testbed {testbed.name}: is up already, as asked for: nothing is changed"
        assert Testbed(testbed.name, 1).up() == []
        assert Testbed(testbed.name, 1).describe([]).endswith(f"; {testbed.name}e1 of another `up` is left as it is")
        assert seen(testbed) == before


SPOILED = {
    "state": ("-n {0.engine} link set {1.engine_interface} down", {"up", "neighbour", "route of the groups"}),
    "address": ("-n {0.engine} address flush dev {1.engine_interface}", {"address", "route of the groups"}),
    "mac": ("-n {0.engine} link set {1.engine_interface} address 02:00:00:00:00:99", {"Ethernet address", "neighbour"}),
    "neighbour": ("-n {0.engine} neigh flush dev {1.engine_interface} nud permanent", {"neighbour"}),
    "stranger": (
        "-n {0.engine} neigh replace {1.exchange_ip} dev {1.engine_interface} lladdr 02:00:00:00:00:99 nud permanent",
        {"neighbour"},
    ),
    "route": ("-n {0.engine} route delete 224.0.0.0/4", {"route of the groups"}),
    "offload": ("netns exec {0.engine} ethtool -K {1.engine_interface} tx on", {"checksum offload"}),
}


@pytest.mark.netns
@pytest.mark.parametrize("spoiling", SPOILED)
def test_up_a_second_time_mends_what_is_missing_and_names_it(spoiling: str) -> None:
    command, missing = SPOILED[spoiling]
    with own_testbed("tm") as testbed:
        before, link = seen(testbed), testbed.links[0]
        ip(*command.format(testbed, link).split())
        assert seen(testbed) != before
        made = testbed.up()
        assert {each.partition(": ")[2] for each in made if each.startswith(link.engine_interface)} >= missing
        assert seen(testbed) == before
        assert testbed.up() == []


@pytest.mark.netns
def test_up_a_second_time_makes_a_link_or_a_namespace_that_went_away() -> None:
    with own_testbed("tg", links=2) as testbed:
        first, second = testbed.links
        ip("-n", testbed.engine, "link", "delete", second.engine_interface)
        assert testbed.up() == [f"veth pair {second.engine_interface} - {second.exchange_interface}"]
        ip("netns", "delete", testbed.exchange)
        assert testbed.up()[0] == f"namespace {testbed.exchange}"
        assert testbed.up() == []
        assert testbed.describe(["lo"]) == f"testbed {testbed.name}: made lo"
        with in_namespace(testbed.exchange), socket.create_server((first.exchange_ip, 7000)) as server:
            with in_namespace(testbed.engine):
                client = socket.create_connection((first.exchange_ip, 7000), timeout=5)
            with client:
                assert server.accept()[1][0] == first.engine_ip


@pytest.mark.netns
def test_ends_that_are_no_pair_are_refused_and_left() -> None:
    with own_testbed("tn") as testbed:
        link = testbed.links[0]
        ip("-n", testbed.engine, "link", "delete", link.engine_interface)
        ip("-n", testbed.engine, "link", "add", link.engine_interface, "type", "veth", "peer", "name", "other")
        with pytest.raises(
            HostError, match=f"^{link.engine_interface} in {testbed.engine} and .* are not the two ends"
        ):
            testbed.up()
        assert link.engine_interface in ip("-n", testbed.engine, "link")


@pytest.mark.netns
def test_one_that_is_up_is_not_entered_for_it_would_be_removed_at_the_end() -> None:
    with own_testbed("te") as first:
        with pytest.raises(HostError, match=f"{first.engine} is up already"), Testbed(first.name):
            raise AssertionError("entered")
        assert (NETNS / first.engine).stat().st_dev != NETNS.stat().st_dev


@pytest.mark.netns
def test_the_command_says_what_it_made_and_that_it_is_there() -> None:
    name = own_testbed("tc").name

    def up() -> str:
        done = CliRunner().invoke(app, ["testbed", "up", "--name", name, "--links", "1"])
        assert done.exit_code == 0, done.output
        return done.output

    try:
        assert up() == (
            f"testbed {name}: made namespace {name}-engine, namespace {name}-exchange, veth pair {name}e0 - {name}x0\n"
        )
        assert up() == f"testbed {name}: is up already, as asked for: nothing is changed\n"
    finally:
        Testbed(name).down()


@pytest.mark.netns
def test_a_name_that_a_dead_machine_left_is_taken_again() -> None:
    """A container ends without unmounting, and its /run is there at the next start."""
    testbed = own_testbed("td")
    NETNS.mkdir(exist_ok=True)
    for name in (testbed.engine, testbed.exchange):
        (NETNS / name).touch(0o444)
    with testbed:
        assert (NETNS / testbed.exchange).stat().st_dev != NETNS.stat().st_dev
    assert not (NETNS / testbed.engine).exists()
    assert not (NETNS / testbed.exchange).exists()


@pytest.mark.parametrize("name", ["../../proc/self/ns/net", "..", "", "a b"])
def test_a_namespace_is_named_not_found_by_a_path(name: str) -> None:
    with pytest.raises(HostError, match=r"^network namespace '.*': a name is letters, digits"), in_namespace(name):
        raise AssertionError("entered")
