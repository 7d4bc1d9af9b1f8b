"""Who can change what a path leads to: what is found there is believed only if nobody else can.

A path is walked as the kernel walks it, link by link, and each folder, each link and the end is looked at: whoever owns
one of them, or may write to a folder, can put something else in the place of what follows. An access list that lets
somebody write shows as the group's bit (acl(5)), so it is seen too.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LINKS_MAX = 40  # as the kernel's own


def places_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Give every folder and link that `path` leads through, and its end, with their facts. OSError: no such path."""
    here = Path("/")
    yield here, here.lstat()
    rest = list(reversed(path.absolute().parts[1:]))
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        place = here / part
        facts = place.lstat()
        yield place, facts
        if not stat.S_ISLNK(facts.st_mode):
            here = place
            continue
        links += 1
        if links > LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(place))
        if target.is_absolute():
            here = Path("/")
        rest.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))


def belongs_to_another(facts: os.stat_result) -> bool:
    """Tell whether something is neither ours nor root's."""
    return facts.st_uid not in (0, os.geteuid())


def is_shared(facts: os.stat_result) -> bool:
    """Tell whether others than its owner can write to it."""
    return facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) != 0


def who_could_change(path: Path, is_end: bool = True) -> tuple[Path, str] | None:
    """Find the first place on the way to `path` through which others could change it, and how; None: there is none.

    The second part reads behind the place: "belongs to user 12345". With `is_end` False, `path` is a folder that
    something is yet to be made in: one that all share, as /tmp, will do. OSError: no such path.
    """
    end = Path(os.path.realpath(path))
    for place, facts in places_to(path):
        if belongs_to_another(facts):
            return place, f"belongs to user {facts.st_uid}"
        # A link's own mode says nothing. In a folder with the sticky bit, as /tmp, others can add but not replace.
        if stat.S_ISLNK(facts.st_mode) or (facts.st_mode & stat.S_ISVTX and (place != end or not is_end)):
            continue
        if is_shared(facts):
            return place, "can be written to by others"
    return None
