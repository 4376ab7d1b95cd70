"""Pages that open from disk, from plain values and ``templates/``: style sheet inside, no script, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

PROSE = 32
"""Characters from which on a table's cell is a sentence and may wrap."""


def render(template: str, **values: Any) -> str:
    """A page of one of the ``templates/``. Raises jinja2.UndefinedError for a value that is missing."""
    return _environment().get_template(template).render(values)


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def decibels(value: Any) -> str:
    """``18.2 dB``; a dash where there is none."""
    return "-" if value is None else f"{number(value)} dB"


def number(value: Any, digits: int | None = None) -> str:
    """A number, short: three digits, or so many behind the point; a dash where there is none."""
    if value is None:
        return "-"
    form = f".{digits}f" if digits is not None else ".1f" if abs(float(value)) >= 10 else ".3g"
    return f"{float(value):{form}}"


def interval(pair: Sequence[Any], digits: int) -> str:
    return " to ".join(number(value, digits) for value in pair)


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=lambda name: not str(name).endswith(".md"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"cell": lambda text: " ".join(str(text).split()).replace("|", "\\|")}
    found.filters |= {
        "percent": percent,
        "number": number,
        "interval": interval,
        "pretty": lambda value: json.dumps(value, indent=1, sort_keys=True),
    }
    found.globals |= {"PROSE": PROSE}
    return found
