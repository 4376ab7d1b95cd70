"""Helpers of the frozen dataclasses that hold configuration, and the errors that users see."""

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

MISSING: Any = "???"
"""The value of a field that must be given, as OmegaConf spells it."""


class UserError(Exception):
    """Bad input. The message is one line and says what to do instead."""


def option(help: str, default: Any = MISSING) -> Any:
    """A field of a schema: ``episodes: int = option("how many to collect", 200)``; without a default it is required."""
    return dataclasses.field(default=default, metadata={"help": help})


def closest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: ``did you mean 'x'?`` or, where nothing is near, the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"


def check_range(config: Any, **bounds: tuple[float, float | None]) -> None:
    """ValueError, one line, where an option lies outside of its (lowest, highest); None for no highest one."""
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if value < low or (high is not None and value > high):
            expected = f"at least {low}" if high is None else f"{low} to {high}"
            raise ValueError(f"{name}={value}: expected {expected}")


def check_sizes(config: Any, **bounds: tuple[int, int]) -> None:
    """ValueError, one line, where a size is no whole number (read from a file it may be anything), or out of bounds."""
    for name in bounds:
        if type(value := getattr(config, name)) is not int:
            raise ValueError(f"{name}={str(value)[:40]!r}: expected a whole number")
    check_range(config, **bounds)


def known(what: str, name: str, names: Collection[str]) -> str:
    """``name``. Raises ValueError, one line with the nearest of ``names``, where it is none of them."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of these"
        raise ValueError(f"unknown {what} {name!r}, expected one of {', '.join(names)}; {hint}")
    return name


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dictionaries as dotted names with their values."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), value
