"""What may be part of a path: a name that leads nowhere else, whatever folder it is put behind."""

import re

NAME_LETTERS_MAX = 64
NAME_RULE = f"a name is letters, digits, `.`, `_`, `-`, not beginning with a dot, at most {NAME_LETTERS_MAX} characters"


def is_name(text: str) -> bool:
    """Tell whether `text` keeps to NAME_RULE; letters and digits are ASCII's."""
    return re.fullmatch(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{NAME_LETTERS_MAX - 1}}}", text) is not None
