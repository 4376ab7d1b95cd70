"""Packages whose names load on first use: who reads a command's keys waits for neither torch nor MuJoCo."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def names(package: str, **files: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: its names, separated by spaces, by the file that holds them."""
    where = {name: file for file, held in files.items() for name in held.split()}

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{where[name]}"), name)

    return find
