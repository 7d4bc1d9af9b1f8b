"""A default outside the range beside it."""

from typing import Annotated

import msgspec

from crosswire import BuildContext, Desk, Parameter, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    lots: Annotated[int, Parameter("lots", "of one order", least=1, most=100)] = 0  # <- parameter


class Mine(Strategy):
    lots: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls(lots=parameters.lots)


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.lots += 1
