"""Where the files are that code reads, and which code it is. The bottom rung, importable by all."""

import subprocess
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from worldmodel import __version__

PACKAGED = Path(__file__).parent / "_assets"
"""Where an installed wheel keeps ``envs/``, ``configs/``, ``eval/`` and ``checkpoints/``."""
REPOSITORY = Path(__file__).parent.parent
"""Where a checkout keeps the same folders."""


def asset(relative: str) -> Path:
    """Path of a shipped file or folder, such as ``envs/can.xml``: the installed package first, then the repository.

    Raises ValueError for a path that is absolute or has ``..``, FileNotFoundError where neither place has it.
    """
    wanted = Path(relative)
    if wanted.is_absolute() or ".." in wanted.parts:
        raise ValueError(f"asset {relative!r} must be relative and stay inside, for example 'envs/can.xml'")
    for root in (PACKAGED, REPOSITORY):
        if (root / wanted).exists():
            return root / wanted
    near = sorted(path.name for root in (PACKAGED, REPOSITORY) for path in (root / wanted.parent).glob("*"))
    close = [(wanted.parent / name).as_posix() for name in get_close_matches(wanted.name, near, n=1)]
    hint = f"did you mean {close[0]!r}?" if close else "reinstall worldmodel, or run from a full checkout"
    raise FileNotFoundError(f"asset {relative!r} is neither in the installed package nor in the repository; {hint}")


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
