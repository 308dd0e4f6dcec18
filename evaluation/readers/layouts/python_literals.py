"""Objects written as Python wrote them, not as JSON, as in the files of Amazon that were published in 2014."""

from __future__ import annotations

import ast


def literal(line: bytes) -> object:
    """The object of a UTF-8 line of Python source. Nothing in it is run. Raises ValueError if it is no literal."""
    try:
        return ast.literal_eval(line.decode().strip())
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError("no Python literal") from error
