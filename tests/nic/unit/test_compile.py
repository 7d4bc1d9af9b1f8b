"""`compiled` and `generic`: one source, two worlds, the same choice of implementation."""

import os
import subprocess
import sys

import pytest
from numba import typeof, types
from numba.core.errors import NumbaError

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import NO_JIT, compiled, generic
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
    stub = getattr(noises, "py_func", noises)
    for function in (noises, stub):
        assert function(cls(legs=4), Animal(legs=1), 3) == expected * 100_000 + 3
    assert noise(cls(legs=4), 3) == expected


def test_an_implementation_changes_the_struct_in_both_worlds() -> None:
    by_machine, by_python = Dog(), Dog()
    noises(by_machine, by_machine, 2)
    getattr(noises, "py_func", noises)(by_python, by_python, 2)
    assert bytes(by_machine) == bytes(by_python)
    assert by_machine.barks == 4


def test_class_without_an_implementation_is_named() -> None:
    with pytest.raises(TypeError, match=r"noise\(\) has no implementation for .*Stone"):
        noise(Stone(), 1)  # type: ignore[arg-type]


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_class_without_an_implementation_is_named_by_the_compiler() -> None:
    with pytest.raises((NumbaError, TypeError), match=r"noise\(\) has no implementation for .*Stone"):
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


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_calls_through_a_generic_are_inlined_and_uncounted() -> None:
    noises(Dog(), Bird(), 1)
    code = "".join(noises.inspect_llvm().values())  # type: ignore[attr-defined]
    assert "NRT_incref" not in code
    assert "NRT_decref" not in code
    assert [line for line in code.splitlines() if "call " in line and "_noise" in line] == []


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
def add_legs(animal: Animal, times: int) -> int:
    animal.legs += times
    return animal.legs


@compiled
def add_legs_twice(animal: Animal, times: int) -> int:
    return add_legs(animal, times) + add_legs(animal, 3)


@pytest.mark.skipif(NO_JIT, reason="nothing is compiled with CROSSWIRE_NO_JIT=1")
def test_only_the_outermost_function_is_emitted_and_the_inner_one_again_when_python_calls_it() -> None:
    animal = Animal(legs=1)
    assert add_legs_twice(animal, 2) == 3 + 6
    assert len(add_legs.overloads) == 0  # type: ignore[attr-defined]
    (assembly,) = add_legs_twice.inspect_asm().values()  # type: ignore[attr-defined]
    assert not [line for line in assembly.splitlines() if "call" in line and "add_legsB" in line]
    assert add_legs(animal, 1) == 7
    assert add_legs_twice(animal, 2) == 9 + 12


@pytest.mark.skipif(NO_JIT, reason="nothing is compiled with CROSSWIRE_NO_JIT=1")
def test_a_function_is_compiled_for_types_not_for_the_constants_it_is_called_with() -> None:
    animal = typeof(Animal())
    for number in (3, 4):
        add_legs.get_call_template((animal, types.literal(number)), {})  # type: ignore[attr-defined]
    assert list(add_legs.overloads) == [(animal, types.int64)]  # type: ignore[attr-defined]
