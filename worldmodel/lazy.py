"""Names that load on first use: who reads a command's keys waits for neither torch nor MuJoCo."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


def names(package: str, **files: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: its names, separated by spaces, by the file that holds them; "": files."""
    where = {name: file for file, held in files.items() for name in held.split()}

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not where[name]:
            return import_module(f"{package}.{name}")
        return getattr(import_module(f"{package}.{where[name]}"), name)

    return find


def callable_package(package: str, file: str) -> None:
    """Let a package be called as the function of its name in ``file``, so that `worldmodel.train` may be both.

    Python sets the attribute `worldmodel.train` to the package as soon as anything imports that: a function of this
    name would be replaced.
    """

    class CallablePackage(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            function = getattr(import_module(f"{package}.{file}"), package.rpartition(".")[2])
            return function(*arguments, **options)

    sys.modules[package].__class__ = CallablePackage
