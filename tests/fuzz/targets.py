"""All targets, by name."""

from tests.fuzz import feeds, files, orders, packets

TARGETS = {each.name: each for part in (packets, feeds, orders, files) for each in part.TARGETS}
