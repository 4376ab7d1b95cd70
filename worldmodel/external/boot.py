"""Runs one of our servers under another environment's Python, which then sees this package beside its own, and no more.

``python -I boot.py SERVER FD``: the module ``worldmodel.external.SERVER`` answers on the connected socket FD, which it
inherits, and ends with the other side. Nothing of ours lands on ``sys.path``: what the server imports besides is what
its environment has.
"""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
from pathlib import Path


def only(package: str, folder: Path) -> None:
    """Make ``package``, which lies in ``folder``, importable without what lies beside it."""
    spec = importlib.util.spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    only("worldmodel", Path(__file__).resolve().parents[1])
    importlib.import_module(f"worldmodel.external.{sys.argv[1]}").main(socket.socket(fileno=int(sys.argv[2])))
