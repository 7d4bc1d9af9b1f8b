"""A network on which everything is wrong that a veth can have wrong, and a configuration to trade on it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosswire.nic.host.testbed import Testbed
from tests.support.live_setup import EXAMPLES
from tests.support.net import own_testbed


def inside(namespace: str, *command: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *command], check=True)


@contextmanager
def bad_network() -> Iterator[Testbed]:
    """Make it, and remove it. Skips as `needs_root` does."""
    with own_testbed("dr") as network:
        name, link = network.engine, network.links[0]
        near = link.engine_interface
        inside(name, "ip", "link", "delete", near)
        queues = ("numrxqueues", "2", "numtxqueues", "2")
        inside(
            name, "ip", "link", "add", near, *queues, "type", "veth", "peer", "name", link.exchange_interface, *queues
        )
        inside(name, "ip", "link", "set", link.exchange_interface, "netns", network.exchange)
        for namespace, interface, ip in (
            (name, near, link.engine_ip), (network.exchange, link.exchange_interface, link.exchange_ip)
        ):  # fmt: skip
            inside(namespace, "ip", "link", "set", interface, "up")
            inside(namespace, "ip", "address", "add", f"{ip}/24", "dev", interface)
        inside(name, "ethtool", "-L", near, "rx", "2", "tx", "2")
        inside(name, "ethtool", "-K", near, "gro", "on", "rx-udp-gro-forwarding", "on")
        inside(name, "sysctl", "-qw", f"net.ipv4.conf.{near}.rp_filter=1", "net.ipv4.conf.all.rp_filter=2")
        inside(name, "sh", "-c", f"echo 20000 > /sys/class/net/{near}/gro_flush_timeout")
        inside(name, "sh", "-c", f"echo 3 > /sys/class/net/{near}/napi_defer_hard_irqs")
        entry = ("lladdr", "02:00:0a:62:00:02", "dev", near, "nud", "stale")
        inside(name, "ip", "neigh", "replace", link.exchange_ip, *entry)
        yield network


def config_of(network: Testbed, folder: Path, **changes: str) -> Path:
    """The synthetic example with one venue's interface on this network."""
    link = network.links[0]
    text = (EXAMPLES / "synthetic.toml").read_text()
    replacements = {
        '"cw-engine"': f'"{network.engine}"',
        '"cw-exchange"': f'"{network.exchange}"',
        **{f'"cwe{n}"': f'"{link.engine_interface}"' for n in range(2)},
        **{f'"cwx{n}"': f'"{link.exchange_interface}"' for n in range(2)},
        '"10.98.1.2:9000"': '"10.98.0.2:9001"',
        **changes,
    }
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "run.toml"
    path.write_text(text)
    return path
