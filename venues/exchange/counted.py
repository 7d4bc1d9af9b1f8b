"""Counts of a struct by what they count, for people to read."""

from enum import IntEnum
from typing import Any


def counted(counts: Any, kinds: type[IntEnum]) -> dict[str, int]:
    """Name the counts of an array that `kinds` indexes, "bad_logon"; those of 0 are left out."""
    return {kind.name.lower(): int(counts[kind]) for kind in kinds if counts[kind]}
