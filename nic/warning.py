"""What makes a result less than the whole truth: counted, with a place and what to do about it."""

import msgspec


class DataWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing that was left out, mended or doubted in whatever was read. `str` is its line."""

    kind: str  # words, the same in every command: "records out of order"
    count: int  # how often
    first_place: str  # where the first one is: file and byte, line or frame
    what_to_do: str

    def __str__(self) -> str:
        return f"{self.count:,} {self.kind}, first at {self.first_place}: {self.what_to_do}"
