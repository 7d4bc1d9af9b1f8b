"""`compiled` and `generic`: one source, two worlds, the same choice of implementation."""

import inspect
import os
import subprocess
import sys
from io import BytesIO
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.build import CompileError
from crosswire.nic.unit.call import call_unit, interpreted
from crosswire.nic.unit.compile import NO_JIT, compiled, generic, outlined
from crosswire.nic.unit.kinds import kind_of
from crosswire.nic.unit.store import read_unit, store_folder
from crosswire.nic.unit.unit import key_of
from tests.support.paths import ROOT


class Animal(Struct):
    legs: i64


class Dog(Animal):
    barks: i64


class Puppy(Dog):
    pass


class Bird(Animal):
    pass


class Stone(Struct):
    weight: i64


@generic
def noise(animal: Animal, times: int) -> int:
    """How much noise it makes."""


@noise.register(Animal)
def animal_noise(animal: Animal, times: int) -> int:
    return animal.legs * times


@noise.register(Dog)
def dog_noise(dog: Dog, count: int) -> int:  # another argument name than the stub's
    dog.barks += count
    return 1000 + dog.barks


@compiled
def noises(first: Animal, second: Animal, times: int) -> int:
    return noise(first, times) * 100_000 + noise(second, times)


@pytest.mark.parametrize(
    ("cls", "expected"), [(Animal, 4 * 3), (Bird, 4 * 3), (Dog, 1000 + 3), (Puppy, 1000 + 3)], ids=str
)
def test_implementation_is_chosen_by_class_and_by_inheritance(cls: type[Animal], expected: int) -> None:
    for function in (noises, interpreted(noises)):
        assert function(cls(legs=4), Animal(legs=1), 3) == expected * 100_000 + 3
    assert noise(cls(legs=4), 3) == expected


def test_an_implementation_changes_the_struct_in_both_worlds() -> None:
    by_machine, by_python = Dog(), Dog()
    noises(by_machine, by_machine, 2)
    interpreted(noises)(by_python, by_python, 2)
    assert bytes(by_machine) == bytes(by_python)
    assert by_machine.barks == 4


def test_class_without_an_implementation_is_named() -> None:
    with pytest.raises(TypeError, match=r"noise\(\) has no implementation for .*Stone"):
        noise(Stone(), 1)  # type: ignore[arg-type]


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_class_without_an_implementation_is_named_by_the_compiler() -> None:
    with pytest.raises(CompileError, match=r"noise\(\) has no implementation for .*Stone"):
        noises(Stone(), Animal(), 1)  # type: ignore[arg-type]


def test_second_implementation_for_a_class_is_refused() -> None:
    with pytest.raises(TypeError, match=r"noise\(\) is already implemented for Dog"):
        noise.register(Dog)(dog_noise)


def test_a_generic_keeps_the_name_and_contract_of_its_stub() -> None:
    assert noise.__name__ == "noise"
    assert noise.__doc__ == "How much noise it makes."


@compiled
def floor_divide(value: int, divisor: int) -> int:
    return value // divisor * 1000 + value % divisor


@pytest.mark.parametrize("value", [-7, -1, 0, 1, 7, -(1 << 50)])
@pytest.mark.parametrize("divisor", [-3, 3, 5])
def test_division_floors_in_both_worlds(value: int, divisor: int) -> None:
    assert floor_divide(value, divisor) == value // divisor * 1000 + value % divisor


def functions_in(function: Any, *arguments: Any) -> set[str]:
    """The names of the functions in the machine code of `function` for these arguments."""
    function(*arguments)
    unit = call_unit(function, tuple(map(kind_of, arguments)))
    stored = read_unit(store_folder(), unit.name, key_of(unit))
    assert stored is not None
    assert stored.symbols == []
    symbols = ELFFile(BytesIO(stored.object_code)).get_section_by_name(".symtab")
    return {symbol.name for symbol in symbols.iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC"}


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_calls_through_a_generic_are_inlined() -> None:
    """Nothing is left of them but the entry; and nothing of Python's or numba's is called, for a reference or else."""
    assert functions_in(noises, Dog(), Bird(), 1) == {"call"}


@outlined
def rarely(dog: Dog, bird: Bird, weight: int) -> int:
    """Use more registers than a call may change."""
    total = 0
    for step in range(weight):
        total += dog.legs * step + bird.legs * (step ^ weight) + weight // (step + 1)
        dog.barks += total & 1
    if total > 1 << 40:
        raise ValueError("too much")
    return total


def keeps_its_values(dog: Dog, bird: Bird, weight: int) -> int:
    first, second, third, fourth = dog.legs + weight, bird.legs - weight, dog.legs * weight, bird.legs ^ weight
    fifth, sixth, seventh, eighth = weight << 1, weight >> 1, dog.legs << 2, bird.legs << 3
    if weight != 0:
        first += rarely(dog, bird, weight)
    return first * 3 + second * 5 + third * 7 + fourth * 11 + fifth * 13 + sixth * 17 + seventh * 19 + eighth * 23


@pytest.mark.parametrize("weight", [0, 1, 7, 100])
def test_what_is_outlined_changes_no_value_of_its_caller(weight: int) -> None:
    arguments = Dog(legs=4, barks=2), Bird(legs=2), weight
    plain = Dog(legs=4, barks=2), Bird(legs=2), weight
    assert compiled(keeps_its_values)(*arguments) == interpreted(keeps_its_values)(*plain)
    assert arguments[0].barks == plain[0].barks


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_what_is_outlined_stays_a_function() -> None:
    names = functions_in(keeps_its_values, Dog(legs=4), Bird(legs=2), 3)
    assert len(names) == 2
    assert any("rarely" in name for name in names)


def run_python(source: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_no_jit_leaves_functions_as_they_are() -> None:
    source = (
        "from crosswire.nic.unit.compile import compiled\n"
        "def double(value): return 2 * value\n"
        "print(compiled(double) is double, compiled(double)(21))"
    )
    assert run_python(source, CROSSWIRE_NO_JIT="1") == "True 42\n"
    assert run_python(source, CROSSWIRE_NO_JIT="0") == "False 42\n"


@compiled
def repeat(animal: Animal, times: int, most: int = 5) -> int:
    return noise(animal, min(times, most))


@compiled
def repeats(animal: Animal) -> int:
    return repeat(animal, 3) * 10_000 + repeat(animal, times=9) * 100 + repeat(animal, 9, most=7)


@pytest.mark.parametrize("call", [repeats, interpreted(repeats)], ids=["compiled", "plain"])
def test_arguments_may_have_defaults_and_names(call: Any) -> None:
    assert call(Animal(legs=1)) == 30_507


@compiled
def remainder(value: int, divisor: int) -> int:
    return value // divisor + value % divisor


@pytest.mark.parametrize("call", [remainder, interpreted(remainder)], ids=["compiled", "plain"])
def test_division_by_zero_is_the_same_error_in_both_worlds(call: Any) -> None:
    assert call(7, 2) == 4
    with pytest.raises(ZeroDivisionError):
        call(7, 0)


@compiled
def share(value: float, parts: float) -> float:
    return value / parts


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
@pytest.mark.parametrize(("function", "arguments"), [(remainder, (1, 0)), (share, (1.0, 0.0))])
def test_division_by_zero_in_machine_code_names_the_line(function: Any, arguments: tuple[Any, ...]) -> None:
    line = inspect.getsourcelines(function.plain)[1] + 2
    with pytest.raises(ZeroDivisionError, match=rf"division by zero \(test_compile\.py:{line}\)"):
        function(*arguments)


@compiled
def legs_of(animal: Animal) -> int:
    if animal.legs < 0:
        raise AssertionError("an animal that owes legs")
    return animal.legs


@compiled
def all_legs(first: Animal, second: Animal) -> int:
    first.legs += 1
    return legs_of(first) + legs_of(second)


@pytest.mark.parametrize("call", [all_legs, interpreted(all_legs)], ids=["compiled", "plain"])
def test_an_assertion_leaves_through_its_callers(call: Any) -> None:
    first = Animal(legs=1)
    with pytest.raises(AssertionError, match="an animal that owes legs"):
        call(first, Animal(legs=-1))
    assert first.legs == 2


@compiled
def both(animal: Animal, flag: bool, part: float) -> tuple[int, bool, float, Animal]:
    return animal.legs, not flag, part / 2, animal


def test_tuples_and_every_kind_of_value_come_back() -> None:
    animal = Animal(legs=4)
    legs, flag, part, same = both(animal, True, 1.0)
    assert (legs, flag, part, same.address) == (4, False, 0.5, animal.address)
