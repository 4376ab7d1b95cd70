"""LeRobot data sets (format v3), read and written through its own library: the one file that imports it.

That costs ten seconds and most of a gigabyte, so this module is imported only for such data.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from worldmodel.data.formats.lerobot_checks import check_folder
from worldmodel.data.layout import StoreError
from worldmodel.processes import fair

os.environ.setdefault("SVT_LOG", "1")  # the encoders' errors, not their every setting
# Where torchcodec finds no FFmpeg, LeRobot says so in 80 lines and reads with PyAV, which brings its own
logging.getLogger("lerobot.utils.import_utils").setLevel(logging.ERROR)
try:
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets import io_utils
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    from lerobot.datasets.io_utils import load_nested_dataset, write_stats
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.datasets.video_utils import decode_video_frames
    from lerobot.utils.constants import DEFAULT_FEATURES
    from lerobot.utils.utils import SuppressProgressBars
except ImportError as error:
    raise StoreError(f"LeRobot data needs the extra: pip install 'worldmodel[lerobot]' ({error})") from None

av.logging.set_libav_level(av.logging.ERROR)

REGULAR = tuple(DEFAULT_FEATURES)
"""Columns that LeRobot makes itself: timestamp, frame_index, episode_index, index, task_index."""
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
STAMP = ("size", "mtime_ns", "ctime_ns", "ino")
"""What identifies a file's content; no program can set the time of change."""
H264 = {"vcodec": "h264", "pix_fmt": "yuv444p", "crf": 10}
"""Video that keeps small frames sharp: 42 dB at 96 px, where LeRobot's own default (AV1, half the colour) gives 31."""


class Recording:
    """A data set opened for reading.

    Attributes: features (LeRobot's own description of each column), fps, steps, episodes, ends int64 (n,), tasks (in
    the order of their indices), timestamps float32 (T,) in seconds from each episode's start, root (its folder),
    licence (as its card has it, or empty).

    Raises StoreError or FileNotFoundError, one line, where ``source`` cannot be read.
    """

    def __init__(self, source: str) -> None:
        self.source, self._dataset = source, _open(source)
        meta = self._dataset.meta
        check_folder(Path(self._dataset.root))  # of a name on the hub it is known only now
        self.root, self.features, self.fps = Path(self._dataset.root), dict(meta.features), meta.fps
        self.steps, self.episodes, self.version = meta.total_frames, meta.total_episodes, meta.info.codebase_version
        self.robot, self.licence = meta.robot_type, _licence(self.root / "README.md")
        if not self.episodes:
            raise StoreError(f"{source} has no episode")
        self.ends = np.asarray(list(meta.episodes["dataset_to_index"]), np.int64)
        if len(self.ends) != self.episodes or self.ends[-1] != self.steps or np.diff(self.ends, prepend=0).min() < 1:
            raise StoreError(f"{source}: its episodes are no split of its {self.steps} steps; get the data set again")
        names = meta.tasks.sort_values("task_index")
        self.tasks: tuple[str, ...] = tuple(map(str, names.index))
        self.timestamps = self.column("timestamp").reshape(-1)
        self.depth = tuple(meta.depth_keys)
        self._images: dict[str, Any] = {}

    def column(self, key: str) -> np.ndarray:
        """Numbers of one column, (T, *shape), bit for bit. StoreError where some are missing."""
        values = self._dataset.hf_dataset.data.column(key).combine_chunks()
        while hasattr(values, "storage") or hasattr(values, "values"):
            values = values.storage if hasattr(values, "storage") else values.flatten()
        if values.null_count:
            raise StoreError(f"{self.source}: {values.null_count} values of {key!r} are missing")
        numbers = values.to_numpy(zero_copy_only=False).astype(self.features[key]["dtype"], copy=False)
        return np.array(numbers.reshape(self.steps, *self.features[key]["shape"]))

    def texts(self, key: str) -> list[str]:
        """Text of one column, one per step."""
        return [str(text) for text in self._dataset.hf_dataset.data.column(key).to_pylist()]

    def frames(self, key: str, rows: np.ndarray) -> np.ndarray:
        """Frames of one camera at ascending ``rows`` of the whole data set, uint8 (n, H, W, 3)."""
        if self.features[key]["dtype"] == "image":
            if key not in self._images:
                self._images[key] = self._dataset.hf_dataset.with_format(None).select_columns([key])
            return np.stack([np.asarray(image.convert("RGB")) for image in self._images[key][rows.tolist()][key]])
        which = np.searchsorted(self.ends, rows, side="right")
        return np.concatenate([self._decode(key, int(e), rows[which == e]) for e in np.unique(which)])

    def _decode(self, key: str, episode: int, rows: np.ndarray) -> np.ndarray:
        dataset = self._dataset
        file = self.root / dataset.meta.get_video_file_path(episode, key)
        seconds = dataset.meta.episodes[episode][f"videos/{key}/from_timestamp"] + self.timestamps[rows].astype(float)
        try:
            frames = decode_video_frames(
                file, seconds.tolist(), dataset.tolerance_s, dataset._video_backend, return_uint8=True
            )
        except Exception as error:  # whatever a decoder makes of it, the user gets one line
            raise StoreError(f"{file}: cannot be decoded for episode {episode}: {_first_line(error)}") from error
        return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())

    def keep(self, folder: Path) -> None:
        """Copy the description of the data set (features, statistics, tasks) to ``folder``, for ``Kept``."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "meta", folder / "meta")


class Kept:
    """The description of a data set that a store was made from: what no store has a place for."""

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self.meta = LeRobotDatasetMetadata("local/kept", root=folder)
        self.features: dict[str, dict[str, Any]] = dict(self.meta.features)
        with fresh_cache(folder):
            self._episodes = load_nested_dataset(folder / "meta" / "episodes")

    def stats(self, episode: int) -> dict[str, dict[str, np.ndarray]]:
        out: dict[str, dict[str, np.ndarray]] = {}
        for name, value in self._episodes[episode].items():
            if name.startswith("stats/"):
                _, feature, stat = name.split("/")
                out.setdefault(feature, {})[stat] = np.atleast_1d(np.array(value))
        return out

    def tasks(self, episode: int) -> list[str]:
        return list(self._episodes[episode]["tasks"])


@dataclass(frozen=True)
class DatasetPlan:
    """What a new data set is to look like. ``encoder``: of videos, by LeRobot's names; empty for its own default."""

    fps: int
    features: Mapping[str, Mapping[str, Any]]
    tasks: tuple[str, ...]
    encoder: Mapping[str, Any]
    kept: Kept | None = None


class DatasetWriter:
    """Writes a data set into a folder that must not exist yet; complete once ``finish`` has returned."""

    def __init__(self, root: Path, plan: DatasetPlan) -> None:
        self.root, self.plan, kept = root, plan, plan.kept
        videos = any(feature["dtype"] == "video" for feature in plan.features.values())
        self.dataset = LeRobotDataset.create(
            repo_id=f"local/{root.name}",
            fps=plan.fps,
            features={key: dict(feature) for key, feature in plan.features.items()},
            root=root,
            robot_type=kept.meta.robot_type if kept else None,
            use_videos=videos,
            rgb_encoder=RGBEncoderConfig(**plan.encoder) if videos and plan.encoder else None,
            video_files_size_in_mb=kept.meta.video_files_size_in_mb if kept else None,
            data_files_size_in_mb=kept.meta.data_files_size_in_mb if kept else None,
        )
        self.dataset.meta.save_episode_tasks(list(plan.tasks))
        if kept:
            self.dataset.meta.info.tools = kept.meta.info.tools
            save = self.dataset.meta.save_episode

            def faithful(index: int, length: int, tasks: list[str], stats: dict[str, Any], facts: Any) -> None:
                # Statistics were taken before frames were encoded: those that were kept go before new ones
                before = {key: value for key, value in kept.stats(index).items() if key in stats}
                save(index, length, kept.tasks(index), stats | before, facts)

            self.dataset.meta.save_episode = faithful

    def add(self, arrays: Mapping[str, Any], tasks: Sequence[str], seconds: np.ndarray | None) -> None:
        """One episode: per feature one value a step, shaped as its feature says; ``seconds`` where irregular."""
        for step, task in enumerate(tasks):
            self.dataset.add_frame({key: values[step] for key, values in arrays.items()} | {"task": task})
        if seconds is not None:
            self.dataset.writer.episode_buffer["timestamp"] = list(seconds)
        with SuppressProgressBars(), fair():  # our own bar counts episodes
            self.dataset.save_episode(parallel_encoding=False)

    def finish(self, sidecar: tuple[str, Mapping[str, Any]]) -> None:
        """Close all files; ``sidecar`` is the name and content of a JSON file beside LeRobot's own in ``meta``."""
        with fair():
            self.dataset.finalize()
        if self.plan.kept and self.plan.kept.meta.stats:
            theirs, ours = self.plan.kept.meta.stats, self.dataset.meta.stats
            both = {key: value for key, value in theirs.items() if key in ours}
            write_stats(both | {key: value for key, value in ours.items() if key not in both}, self.root)
        name, content = sidecar
        (self.root / "meta" / name).write_text(json.dumps(content))


def encoder_of(feature: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a video was encoded with, as far as its description has them, for ``DatasetPlan.encoder``."""
    config = RGBEncoderConfig.from_video_info(feature.get("info"))
    return {name: getattr(config, name) for name in ("vcodec", "pix_fmt", "g", "crf", "preset", "fast_decode")}


def _open(source: str) -> Any:
    path = Path(source).expanduser()
    info = path / "meta" / "info.json"
    if info.is_file():
        check_folder(path)
        name: dict[str, Any] = {"repo_id": f"local/{path.resolve().name}", "root": path}
    elif path.exists() or not REPOSITORY.fullmatch(source):
        what = "no LeRobot data set (no meta/info.json in it)" if path.exists() else "no folder, and no OWNER/NAME"
        raise FileNotFoundError(f"{source}: {what}; give the folder of one or its name on the hub")
    else:
        name = {"repo_id": source}
    try:
        if info.is_file():
            check_files(path)
        with fresh_cache(path):
            return LeRobotDataset(**name)
    except StoreError:
        raise
    except Exception as error:  # LeRobot, datasets, pyarrow and the hub each have their own ways to fail
        raise StoreError(f"{source}: LeRobot cannot open it: {_first_line(error)}") from error


def check_files(root: Path) -> None:
    """StoreError for a file of a folder that is missing or a pointer; a folder is never looked for on the hub."""
    files = _files(root)
    for file in files:
        if file.stat().st_size < 1024 and file.read_bytes().startswith(b"version https://git-lfs"):
            raise StoreError(f"{file} is a git-lfs pointer, not the file itself; run `git lfs pull` in {root}")
    if not (root / "meta" / "tasks.parquet").is_file() or not any((root / "meta" / "episodes").rglob("*.parquet")):
        raise StoreError(f"{root}: meta/tasks.parquet or meta/episodes is missing; copy the data set again")
    with fresh_cache(root):
        meta = LeRobotDatasetMetadata("local/checked", root=root)
    for key in (None, *meta.video_keys):
        kind, first = f"videos/{key}" if key else "data", dict[tuple[int, int], int]()
        places = zip(meta.episodes[f"{kind}/chunk_index"], meta.episodes[f"{kind}/file_index"], strict=True)
        for episode, place in enumerate(places):
            first.setdefault(place, episode)
        for episode in first.values():
            name = meta.get_video_file_path(episode, key) if key else meta.get_data_file_path(episode)
            if root / name not in files:
                raise StoreError(f"{root / name} is missing (episode {episode} is in it); copy the data set again")


@contextlib.contextmanager
def fresh_cache(root: Path) -> Iterator[None]:
    """Let Hugging Face's cache of a folder be one of its files as they are now: it goes by their times, which lie."""
    stamps = [(str(file), *(getattr(file.stat(), f"st_{key}") for key in STAMP)) for file in _files(root)]
    cache: Any = io_utils.datasets.config
    before, name = cache.HF_DATASETS_CACHE, hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
    cache.HF_DATASETS_CACHE = Path(before) / name
    try:
        yield
    finally:
        cache.HF_DATASETS_CACHE = before


def _files(root: Path) -> dict[Path, None]:
    """The files of a data set's folder; none where there is no such folder."""
    folders = (root / "meta", root / "data", root / "videos")
    return dict.fromkeys(sorted(file for folder in folders for file in folder.rglob("*") if file.is_file()))


def _licence(card: Path) -> str:
    """What a data set's card says in its first lines; empty where it says nothing."""
    found = re.search(r"^license: *(\S+)", card.read_text(errors="ignore") if card.is_file() else "", re.MULTILINE)
    return found[1] if found else ""


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return f"{error.filename} cannot be written ({error.strerror}); set HF_HOME to a folder that can"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
