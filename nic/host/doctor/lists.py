"""Lists of processors as the kernel writes them: "0,2-3,8-15", and masks in hexadecimal, "ff,00000003"."""

from collections.abc import Iterable


def parse_cpus(text: str) -> frozenset[int]:
    """Parse a list; one that is empty, or "(null)" as an unset boot parameter's, is no processor.

    ValueError: it is no list of processors.
    """
    found: set[int] = set()
    for part in text.strip().removeprefix("(null)").split(","):
        if not part.strip():
            continue
        first, dash, last = part.partition("-")
        last, _, stride = last.partition(":")  # "0-31:1/2": the first of every two (cpuset's own form)
        used, _, group = stride.partition("/")
        numbers = range(int(first), int(last if dash else first) + 1)
        found.update(each for each in numbers if not stride or (each - int(first)) % int(group) < int(used))
    return frozenset(found)


def cpus_text(cpus: Iterable[int]) -> str:
    """Write a list as the kernel does; "" for none."""
    runs: list[list[int]] = []
    for each in sorted(set(cpus)):
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_mask(text: str) -> frozenset[int]:
    """Parse a mask. ValueError: it is none."""
    mask = int(text.strip().replace(",", ""), 16)
    return frozenset(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def mask_text(cpus: Iterable[int]) -> str:
    """Write a mask in groups of 32 bits, as the kernel takes it."""
    mask = sum(1 << each for each in set(cpus))
    words = [f"{mask >> at & 0xFFFFFFFF:08x}" for at in range(0, max(1, mask.bit_length()), 32)]
    return ",".join(reversed(words)).lstrip("0,") or "0"
