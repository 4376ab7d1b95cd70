"""What is looked at in the folder of a LeRobot data set before LeRobot reads it: it may come from anyone."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from worldmodel.damage import reading
from worldmodel.data.layout import StoreError
from worldmodel.schema import is_name

MOST = 2**40  # episodes, and steps


def check_folder(root: Path) -> dict[str, Any]:
    """The content of ``meta/info.json``. StoreError, one line, where it is none, or where it leads out of the folder.

    Names of columns become names of files, and links would be followed, into stores that are meant to be shared.
    """
    what = f"{root}: meta/info.json"
    with reading(what, StoreError, "get the data set again"):
        info = dict(json.loads((root / "meta" / "info.json").read_bytes()))
        version = str(info.get("codebase_version", "unknown"))
        if not version.startswith("v3"):
            upgrade = "python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=OWNER/NAME --root=FOLDER"
            raise StoreError(f"{root} has LeRobot format {version[:40]}, expected v3; convert it with `{upgrade}`")
        for problem in (*_problems(info), *_links(root)):
            raise StoreError(f"{what}: {problem}; get the data set again, from someone you know")
    return info


def _problems(info: dict[str, Any]) -> Iterator[str]:
    if not 0 < info["fps"] <= 10**6:
        yield f"fps={info['fps']}, expected steps a second"
    for name in ("total_episodes", "total_frames"):
        if type(info[name]) is not int or not 0 <= info[name] < MOST:
            yield f"{name}={str(info[name])[:40]}, expected a number below {MOST}"
    for key, feature in info["features"].items():
        if not is_name(key):
            yield f"{key[:80]!r} is no name for a column"
        if any(type(size) is not int or not 0 <= size < 2**31 for size in feature.get("shape") or ()):
            yield f"column {key} has shape {str(feature.get('shape'))[:80]}"
    for name in ("data_path", "video_path"):
        path = PurePosixPath(info.get(name) or "")
        if path.is_absolute() or ".." in path.parts:
            yield f"{name} {str(path)[:80]!r} lies outside of it"


def _links(root: Path) -> Iterator[str]:
    """Links that leave the folder, or the cache that it lies in (``snapshots/<revision>``, beside ``blobs``)."""
    home = root.resolve()
    home = home.parents[1] if home.parent.name == "snapshots" else home
    for path in root.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            yield f"{path.relative_to(root)} is a link to elsewhere"
