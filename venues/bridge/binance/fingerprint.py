"""Words as numbers, so that compiled code tells them apart in one comparison."""

LENGTH_MAX = 127


def fingerprint(word: str) -> int:
    """Make one positive number of an ASCII word's length and last seven letters."""
    return min(len(word), LENGTH_MAX) << 56 | int.from_bytes(word.encode()[-7:], "big")
