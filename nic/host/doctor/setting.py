"""What a mend can change: one value each, of a file below /sys or /proc, of a card, or of the table of neighbours.

A setting is read and written as text, whatever it is, so that what was there before can be kept in a file and put back.
"""

import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

import msgspec

from crosswire.nic.host.doctor.host import Host, chosen, host_inside
from crosswire.nic.host.ethtool import GROUPS, read_features, read_words, write_feature, write_word
from crosswire.nic.host.neighbour import NUD_PERMANENT, Neighbour, find_neighbour, set_neighbour
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import mac_text

PLACES = ("/sys/", "/proc/sys/", "/proc/irq/")  # nothing else is ever written to
NO_NEIGHBOUR = "none"
_SWITCHES = {"adaptive-rx", "adaptive-tx", "autoneg"}  # words that ethtool(8) shows as on and off
_PAUSE = "pause"


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value is."""

    kind: Literal["file", "word", "feature", "neighbour"]
    place: str  # the file's path, or the interface
    group: str = ""  # of a word
    name: str = ""  # of a word or feature; a neighbour's address
    namespace: str = ""  # named network namespace; "": the caller's


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A setting and the value that it should have."""

    setting: Setting
    wanted: str

    def command(self) -> str:
        """Say which command does it."""
        setting, prefix = self.setting, ""
        if setting.namespace:
            prefix = f"ip netns exec {setting.namespace} "
        if setting.kind == "file":
            echo = f"echo {self.wanted} > {setting.place}"
            return f"{prefix}sh -c '{echo}'" if prefix else echo
        if setting.kind == "feature":
            return f"{prefix}ethtool -K {setting.place} {setting.name} {self.wanted}"
        if setting.kind == "word":
            is_switch = setting.name in _SWITCHES or setting.group == _PAUSE
            shown = ("on" if int(self.wanted) else "off") if is_switch else self.wanted
            return f"{prefix}ethtool {GROUPS[setting.group].option} {setting.place} {setting.name} {shown}"
        mac, _, state = self.wanted.partition(" ")
        address = f"{setting.name} lladdr {mac} dev {setting.place} nud {state_name(int(state))}"
        return f"{prefix}ip neigh replace {address}"


_STATES = {0x02: "reachable", 0x04: "stale", 0x08: "delay", 0x10: "probe", 0x20: "failed", 0x40: "noarp"}


def state_name(state: int) -> str:
    """Name a neighbour's state, as ip(8) does."""
    return (_STATES | {NUD_PERMANENT: "permanent", 0x01: "incomplete"}).get(state, f"state {state}")


def set_file(path: str, wanted: object, namespace: str = "") -> Change:
    """Make the change of a file."""
    return Change(setting=Setting(kind="file", place=path, namespace=namespace), wanted=str(wanted))


def set_word(interface: str, group: str, name: str, wanted: int, namespace: str = "") -> Change:
    """Make the change of one word of `GROUPS`."""
    setting = Setting(kind="word", place=interface, group=group, name=name, namespace=namespace)
    return Change(setting=setting, wanted=str(wanted))


def set_feature(interface: str, name: str, is_on: bool, namespace: str = "") -> Change:
    """Make the change of a feature."""
    setting = Setting(kind="feature", place=interface, name=name, namespace=namespace)
    return Change(setting=setting, wanted="on" if is_on else "off")


def keep_neighbour(interface: str, ip: int, mac: int, namespace: str = "") -> Change:
    """Make the change that keeps a neighbour's address for good."""
    setting = Setting(kind="neighbour", place=interface, name=str(IPv4Address(ip)), namespace=namespace)
    return Change(setting=setting, wanted=f"{mac_text(mac)} {NUD_PERMANENT}")


def check_setting(setting: Setting) -> None:
    """Refuse a setting that is none of those that a mend may change. HostError."""
    parts = setting.place.split("/")
    is_file = setting.place.startswith(PLACES) and ".." not in parts
    is_interface = len(parts) == 1 and 0 < len(setting.place) < 16
    if not (is_file if setting.kind == "file" else is_interface):
        raise HostError(f"{setting.place}: is nothing that doctor sets")
    if setting.kind == "word" and setting.name not in GROUPS[setting.group].names:
        raise HostError(f"{setting.place}: {setting.group} has no {setting.name}")


def read_setting(host: Host, setting: Setting) -> str:
    """Read a setting's value. HostError: it is not there any more."""
    check_setting(setting)
    with host_inside(host, setting.namespace) as there:
        if setting.kind == "file":
            found = there.text(setting.place)
            if found is None:
                raise HostError(f"{setting.place}: can't be read")
            return chosen(found)
        if setting.kind == "feature":
            feature = read_features(setting.place).get(setting.name)
            if feature is None:
                raise HostError(f"{setting.place}: no feature {setting.name}, or no such interface")
            return "on" if feature.is_on else "off"
        if setting.kind == "word":
            words = read_words(setting.place, setting.group)
            if words is None:
                raise HostError(f"{setting.place}: the driver has no {setting.group}")
            return str(words[setting.name])
        entry = find_neighbour(setting.place, int(IPv4Address(setting.name)))
        return NO_NEIGHBOUR if entry is None else f"{mac_text(entry.mac)} {entry.state}"


def _write_file(place: Path, path: str, text: str) -> None:
    """Write as the shell's `echo` does, in one write, but make no file."""
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


def write_setting(host: Host, setting: Setting, text: str) -> None:
    """Give a setting a value. HostError with the kernel's reason if it is refused."""
    check_setting(setting)
    with host_inside(host, setting.namespace) as there:
        if setting.kind == "file":
            _write_file(there.place(setting.place), setting.place, text)
        elif setting.kind == "feature":
            write_feature(setting.place, setting.name, text == "on")
        elif setting.kind == "word":
            write_word(setting.place, setting.group, setting.name, int(text))
        else:
            mac, _, state = text.partition(" ")
            entry = None if text == NO_NEIGHBOUR else Neighbour(int(mac.replace(":", ""), 16), int(state))
            set_neighbour(setting.place, int(IPv4Address(setting.name)), entry)
