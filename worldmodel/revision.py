"""Which code is running: the version, and in a checkout the commit. The bottom rung, importable by all."""

import subprocess
from functools import lru_cache
from typing import Any

from worldmodel import __version__
from worldmodel.assets import REPOSITORY


@lru_cache(maxsize=1)
def revision() -> dict[str, Any]:
    """``version``; ``commit`` (None outside a checkout); ``modified``: whether the code differs from that commit."""
    commit, changes = None, None
    if (REPOSITORY / ".git").exists():
        commit = _git("rev-parse", "HEAD") or None
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", "worldmodel", "configs", "envs")
    return {"version": __version__, "commit": commit, "modified": bool(changes) if commit else None}


def _git(*words: str) -> str:
    """What git says in the repository; empty where it is not installed, is slow or refuses."""
    command = ["git", "-C", str(REPOSITORY), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
