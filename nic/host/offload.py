"""What a network card is asked to do for a ring, and told to undo afterwards: ethtool(8) is the one who talks to it.

Interrupt coalescing trades latency for interrupts; a ring that is polled wants none of it. Flow steering sends a
group's frames to the queue that the ring is on. Cards that can't are named in one line, with ethtool's own reason.

A process that trades can start no programs (`nic/host/confine.py`), and has no capability left to set anything. So what
will undo a change is started when the change is made, and waits: a shell that reads from a pipe until its end. That
comes with `close`, or with this process, however it ends.
"""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError

COALESCE_US_MAX = 1_000


class Offload(Owner):
    """Settings of one interface; `close` restores what was before, the last change first. HostError if refused."""

    def __init__(self, interface: str, namespace: str = "") -> None:
        """`namespace`: the named network namespace that the interface is in; "" is the caller's."""
        self.interface = interface
        self._prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self._undo: list[tuple[str, list[str], subprocess.Popen[str]]] = []  # what, by which command, who waits
        if shutil.which("ethtool") is None:
            raise HostError(f"{interface}: ethtool is not installed; it is what sets coalescing and flow steering")

    def coalesce(self, receive_us: int) -> None:
        """Interrupt at most `receive_us` after a frame; 0 at once. Adaptive coalescing goes off."""
        if not 0 <= receive_us <= COALESCE_US_MAX:
            raise HostError(f"{self.interface}: coalescing {receive_us} us; must be 0 to {COALESCE_US_MAX}")
        shown = self._ethtool("coalescing", "-c")
        microseconds = re.search(r"^rx-usecs:\s*(\d+)", shown, re.MULTILINE)
        if microseconds is None:
            raise HostError(f"{self.interface}: coalescing: the driver has no rx-usecs")
        adaptive = re.search(r"^Adaptive RX:\s*(on|off)", shown, re.MULTILINE)
        before = ["adaptive-rx", adaptive[1]] if adaptive else []
        wanted = ["adaptive-rx", "off"] if adaptive else []
        # ethtool refuses to set what is so already.
        changes = (before, microseconds[1]) != (wanted, str(receive_us))
        if changes:
            self._ethtool("coalescing", "-C", *wanted, "rx-usecs", str(receive_us))
            self._will_undo("coalescing", "-C", *before, "rx-usecs", microseconds[1])

    def steer(self, groups: Sequence[tuple[int, int]], queue: int) -> None:
        """Have UDP to these (ip, port) arrive on `queue`."""
        for ip, port in groups:
            target = ["dst-ip", ip_text(ip), "dst-port", str(port), "action", str(queue)]
            said = self._ethtool("flow steering", "-N", "flow-type", "udp4", *target)
            rule = re.search(r"rule with ID (\d+)", said)
            if rule is None:
                raise HostError(f"{self.interface}: flow steering: ethtool did not number its rule: {said.strip()}")
            self._will_undo("flow steering", "-N", "delete", rule[1])

    def _ethtool(self, what: str, option: str, *arguments: str) -> str:
        command = ["ethtool", option, self.interface, *arguments]
        done = subprocess.run([*self._prefix, *command], capture_output=True, text=True, check=False)
        self._check(what, command, done.returncode, done.stderr)
        return done.stdout

    def _check(self, what: str, command: list[str], status: int, said: str) -> None:
        if status != 0:
            reason = "; ".join(line.strip() for line in said.splitlines() if line.strip())
            raise HostError(f"{self.interface}: {what}: `{' '.join(command)}`: {reason or status}")

    def _will_undo(self, what: str, option: str, *arguments: str) -> None:
        command = ["ethtool", option, self.interface, *arguments]
        waiting = subprocess.Popen(
            ["sh", "-c", 'read -r _; exec "$@"', "sh", *self._prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is not for it
        )
        self._undo.append((what, command, waiting))

    def close(self) -> None:
        """Restore everything; HostError with the first of what could not be, after the rest."""
        refused: list[HostError] = []
        while self._undo:
            what, command, waiting = self._undo.pop()
            _, said = waiting.communicate()
            try:
                self._check(what, command, waiting.returncode, said)
            except HostError as error:
                refused.append(error)
        if refused:
            raise refused[0]

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # An error on the way out must not hide the one that ended the run.
        with contextlib.suppress(HostError) if error is not None else contextlib.nullcontext():
            self.close()
