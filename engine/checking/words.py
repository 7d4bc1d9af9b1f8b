"""A compiler's message in plain words: what `crosswire check` did not see before, at the author's own line."""

import re
from collections.abc import Iterable

# Of a message's lines the first that one of these knows says it best.
_SENTENCES = (
    (r"Unknown attribute '(\w+)' of type (.+)", r"\2 has no field \1"),
    (r"Cannot bind .* due to \"TypeError: ([^\"]+)\"", r"its call does not fit: \1"),
    (r"Cannot unify (.+) and (.+) for '(\w+)[^']*'.*", r"\3 is \1 on one way and \2 on another"),
    (r"Cannot unify (.+) and (.+) for '\$.*", r"a value is \1 on one way and \2 on another"),
    (r"Cannot resolve setattr: \((.+)\)\.(\w+) = .*", r"\1 has no field \2"),
    (r">>> exception_match\(.*", "exceptions are not compiled"),
    (r"NameError: (?:global )?name '(\w+)' is not defined", r"nothing is called \1"),
    (r"Untyped global name '(\w+)'.*", r"\1 is nothing that compiled code can use"),
    (r"NRT required but not enabled", "lists, dictionaries, strings and arrays of Python's own are not compiled"),
    (r"Use of unsupported opcode \((\w+)\).*", r"this part of Python is not compiled (\1)"),
    (r"No definition for lowering <built-in function (\w+)>.*", r"\1() is not compiled"),
    (r">>> (\S.*)", r"\1 is not compiled"),
    (r"(\w+)\(\) has no implementation for \S*?(\w+)$", r"\1() has no implementation for \2"),
    (r"(\S+) can't be assigned in compiled code", r"\1 lies in place and can't be assigned whole; use copy_struct"),
)
_TYPES = (
    (r"\bbool(?:ean)?\b(?!\()", "a bool"),
    (r"struct\([^()]*?(\w+)\)", r"a \1"),
    (r"array\((?:[^()]*?)(\w+),(?:little|big)\)", r"a table of \1"),
    (r"callable\([^()]*?(\w+),\d+\)", r"\1()"),
    (r"Literal\[int\]\((-?\d+)\)", r"\1"),
    (r"\bu?int64\b", "an integer"),
    (r"\bfloat64\b", "a float"),
    (r"\bunicode_type\b", "a string"),
    (r"<\S+ object at 0x[0-9a-f]+>", "an object"),
    (r" at 0x[0-9a-f]+", ""),
)


def plain_reason(text: str) -> str:
    """Say in one line why something does not compile."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and "Failed in" not in line]
    for line in lines:
        for pattern, sentence in _SENTENCES:
            found = re.search(pattern, line)
            if found:
                return _plain_types(found.expand(sentence))
    return _plain_types(lines[0] if lines else text)


def _plain_types(text: str) -> str:
    for pattern, words in _TYPES:
        text = re.sub(pattern, words, text)
    return text


def places_in(text: str) -> Iterable[tuple[str, int]]:
    """List the source lines that a compiler's message names, the innermost first."""
    for found in re.finditer(r'File "([^"]+)", line (\d+)| at (\S+\.py) \((\d+)\)|from (\S+\.py) \((\d+)\)', text):
        name, line = (each for each in found.groups() if each is not None)
        yield name, int(line)
