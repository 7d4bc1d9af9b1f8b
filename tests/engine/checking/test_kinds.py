"""Whose a struct is, by its class."""

from crosswire.engine.checking.kinds import Owner, StructOf, kind_of_annotation
from crosswire.nic.memory.struct import Struct, i64
from crosswire.venues import order


class Order(Struct):
    """An author's own struct, with a name that the engine has too."""

    size_lots: i64


def test_a_struct_of_the_author_s_is_told_by_its_class_not_by_its_name() -> None:
    assert kind_of_annotation(Order) == StructOf(Order, Owner.OWN)
    assert kind_of_annotation(order.Order) == StructOf(order.Order, Owner.SHOWN)
