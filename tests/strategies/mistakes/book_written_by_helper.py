"""The same behind a helper."""

import msgspec

from crosswire import Book, BuildContext, Desk, Strategy, compiled, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@compiled
def improve(book: Book) -> None:
    book.bid_lots = 1_000  # <- shown


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    improve(desk.books[instrument])
