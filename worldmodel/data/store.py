"""The reading half of a store: whole episodes, or any array over concatenated time, straight from mapped files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from worldmodel.damage import reading
from worldmodel.data import layout
from worldmodel.data.layout import BLOCK_STEPS, DamagedStoreError
from worldmodel.data.views import View, open_view
from worldmodel.schema import ACTION, CONTROL_HZ, ENVIRONMENT_STATE, EXECUTED, STATE, Episode

if TYPE_CHECKING:
    from worldmodel.data.writer import StoreWriter


class EpisodeStore:
    """A sealed store, read-only. ``open`` one, or ``create`` a writer.

    Attributes:
        episodes: number of episodes n.
        steps: control steps T of all episodes together.
        ends: int64 (n,), where each episode ends in concatenated time (episode i is ``[ends[i-1], ends[i])``).
        seeds: int64 (n,); success: bool (n,); task_index: int32 (n,), into ``tasks``.
        checksums: uint64 (n, keys), one per episode and array.
        keys: array names. tasks: task names. fingerprint: names the content.
        meta: every attribute as sealed; ``meta["provenance"]`` says where the data came from.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], index: Mapping[str, np.ndarray]) -> None:
        self.path, self.meta = path, meta
        self.ends, self.seeds, self.success = index["ends"], index["seeds"], index["success"]
        self.task_index, self.checksums = index["task_index"], index["checksums"]
        self.keys: tuple[str, ...] = tuple(meta["arrays"])
        self.tasks: tuple[str, ...] = tuple(meta["tasks"])
        self.episodes: int = meta["episodes"]
        self.steps: int = meta["steps"]
        self.fingerprint: str = meta["fingerprint"]
        self._views: dict[str, View] = {}

    @staticmethod
    def create(path: str | Path, provenance: Mapping[str, Any], block: int = BLOCK_STEPS) -> "StoreWriter":
        """A writer for a new store (see StoreWriter.create)."""
        from worldmodel.data.writer import StoreWriter  # readers need no writer

        return StoreWriter.create(path, provenance, block)

    @classmethod
    def open(cls, path: str | Path, check: bool = True) -> Self:
        """Open a sealed store: reads metadata and, with ``check``, the sizes of all block files, not the data.

        Raises FileNotFoundError, InterruptedStoreError (never sealed) or DamagedStoreError (altered bytes).
        """
        path = Path(path)
        with reading(f"the store {path}", layout.StoreError):
            return cls._open(path, check)

    @classmethod
    def _open(cls, path: Path, check: bool) -> Self:
        meta = layout.read_attributes(path)
        index = {name: _index_array(path, name, meta) for name in layout.INDEX_DTYPES}
        store = cls(path, meta, index)
        if layout.fingerprint(meta["arrays"], list(store.tasks), index) != store.fingerprint:
            raise DamagedStoreError(f"{path}: episode index does not match the fingerprint; restore or collect again")
        lengths, which = np.diff(store.ends, prepend=0), store.task_index
        if lengths.min() < 1 or store.ends[-1] != store.steps or not 0 <= which.min() <= which.max() < len(store.tasks):
            raise DamagedStoreError(f"{path}: its episodes are no split of its steps and tasks; get the store again")
        for key in store.keys if check else ():
            if not (path / key / "c").is_dir():
                raise DamagedStoreError(f"{path} is damaged: array {key} has no data; see `worldmodel data verify`")
            store.array(key)
        return store

    @property
    def rate(self) -> float:
        """Control steps per second; that of our own tasks where the provenance does not say."""
        return float(self.meta["provenance"].get("rate", CONTROL_HZ))

    @property
    def relative(self) -> int:
        """How many leading dimensions of an action are targets for the same dimensions of the state."""
        return int(self.meta["provenance"].get("relative", 3))

    def row(self, key: str) -> tuple[int, ...]:
        """Shape of one step of an array."""
        return tuple(self.meta["arrays"][key]["row"])

    def dtype(self, key: str) -> np.dtype:
        """Element type of an array."""
        return np.dtype(self.meta["arrays"][key]["dtype"])

    def array(self, key: str) -> View:
        """One array over concatenated time, (T, *row): ``[i]``, ``[a:b]``, ``take(indices)``, ``len``; read-only.

        Raises KeyError with the names there are.
        """
        if key not in self.meta["arrays"]:
            raise KeyError(f"no array {key!r} in {self.path}; it has {', '.join(self.keys)}")
        if key not in self._views:
            shape = (self.steps, *self.row(key))
            try:
                self._views[key] = open_view(self.path / key, shape, self.dtype(key), self.meta["block"])
            except DamagedStoreError as error:
                raise DamagedStoreError(f"{self.path} is damaged: {error}; see `worldmodel data verify`") from None
        return self._views[key]

    def span(self, episode: int) -> tuple[int, int]:
        """First step and end of an episode in concatenated time; IndexError outside 0..n-1."""
        if not 0 <= episode < self.episodes:
            raise IndexError(f"episode {episode} of {self.path}: expected 0 to {self.episodes - 1}")
        return (int(self.ends[episode - 1]) if episode else 0), int(self.ends[episode])

    def episode(self, episode: int) -> Episode:
        """One whole recording. Frames may be views of mapped files (read-only)."""
        start, stop = self.span(episode)
        infos = self.meta["info"]
        return Episode(
            arrays={key: self.array(key)[start:stop] for key in self.keys},
            task=self.tasks[int(self.task_index[episode])],
            seed=int(self.seeds[episode]),
            success=bool(self.success[episode]),
            info=infos[episode] if infos else {},
        )

    def not_finite(self) -> str:
        """Where the first NaN or infinite number of a state or an action is; empty where there is none."""
        for key in (STATE, ACTION, EXECUTED, ENVIRONMENT_STATE):
            if key not in self.keys or self.dtype(key).kind != "f":
                continue
            steps, *rest = np.nonzero(~np.isfinite(np.asarray(self.array(key)[:])))
            if len(steps):
                episode = int(np.searchsorted(self.ends, steps[0], side="right"))
                place = "".join(f"[{dimension[0]}]" for dimension in rest)
                return f"{key}{place} at step {steps[0] - self.span(episode)[0]} of episode {episode}"
        return ""

    def __len__(self) -> int:
        return self.episodes


def _index_array(path: Path, name: str, meta: Mapping[str, Any]) -> np.ndarray:
    """A per-episode array, checked against its checksum in the sealed attributes."""
    episodes, keys = meta["episodes"], len(meta["arrays"])
    shape = (episodes, keys) if name == "checksums" else (episodes,)
    folder = path / f"{layout.EPISODE}{name}"
    try:
        values = open_view(folder, shape, np.dtype(layout.INDEX_DTYPES[name]), episodes)[:]
    except DamagedStoreError as error:
        raise DamagedStoreError(f"{path} is damaged: {error}; restore it or collect again") from None
    if f"{layout.checksum(values):016x}" != meta["index"][name]:
        raise DamagedStoreError(f"{path} is damaged: array {folder.name} does not match its checksum; collect again")
    return np.asarray(values)
