"""Checks of files: that nobody else can change what the engine believes, or read its keys."""

import stat

from crosswire.nic.host.doctor.check import Finding, KeptPath, Plan, Severity, check, judge
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.trust import who_could_change


@check(
    "ownership",
    about="path",
    why="who can write to a file, or to a folder on the way to it, decides what is traded",
    source="nic/host/trust.py",
)
def ownership(host: Host, plan: Plan, kept: KeptPath) -> Finding:
    """Ask for a path that only we, or root, can change, and for keys that only we can read."""
    path = kept.path.absolute()
    is_end = True
    while kept.is_made and not path.exists() and path != path.parent:
        path, is_end = path.parent, False
    wanted = "ours, read by us alone" if kept.is_secret else "ours, or root's"
    try:
        found = who_could_change(path, is_end)
        mode = path.stat().st_mode
    except OSError as error:
        return Finding(
            value=f"{error.strerror}", wanted=wanted, severity=Severity.FAIL, mend=f"make {kept.path}, or name another"
        )
    if found is not None:
        place, how = found
        mend = f"chmod go-w {place}" if how.startswith("can") else f"chown root {place}, or keep it elsewhere"
        return judge(False, f"{place} {how}", wanted, otherwise=Severity.FAIL, mend=mend)
    if kept.is_secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return judge(False, "others may read it", wanted, otherwise=Severity.FAIL, mend=f"chmod 600 {kept.path}")
    return judge(True, "ours" if is_end else "not made yet", wanted)
