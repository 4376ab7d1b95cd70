"""Windows of recorded experience, gathered fast and in an order that depends on the step number alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel.data.layout import FEATURES, feature_key
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import ACTION, EXECUTED, STATE, Clip, Recorded, image_key

DEMONSTRATOR = "expert"
"""The ``behaviour`` of recordings that policies imitate; other behaviours teach the dynamics only."""

OUTLIER = 6.0  # Multiple of the median deviation between executed and labelled actions that counts as a perturbation


def tolerance(store: EpisodeStore) -> np.ndarray:
    """How far executed actions may lie from their labels without counting as perturbed, float32 (A,).

    Practically zero; where most steps carry exploration noise, only outliers from that noise count.
    """
    if EXECUTED not in store.keys:
        return np.full(store.row(ACTION), 1e-6, np.float32)
    off = np.abs(np.asarray(store.array(ACTION)[:]) - np.asarray(store.array(EXECUTED)[:]))
    return np.maximum(OUTLIER * np.median(off, axis=0), 1e-6).astype(np.float32)


def labels(
    wanted: Float[np.ndarray, "B H A"],
    executed: Float[np.ndarray, "B H A"],
    past: Bool[np.ndarray, "B H"],
    tolerance: Float[np.ndarray, "... A"],
    done: bool = False,
) -> tuple[Float[np.ndarray, "B H A"], Bool[np.ndarray, "B H"]]:
    """The target actions, and which of them are valid.

    past: steps after the episode's end. tolerance: see `tolerance`, (A,) or one per row (B, A). Steps after a
    perturbation are invalid, since the observation does not show it; with ``done`` the targets are the executed
    actions, which stay valid.
    """
    if done:
        return executed, ~past
    perturbed = (np.abs(wanted - executed) > tolerance[..., None, :]).any(-1)
    after = np.cumsum(perturbed, axis=1) - perturbed > 0
    return wanted, ~(past | after)


@dataclass(frozen=True)
class ClipSpec:
    """What a window holds: cameras in the model's order, chunk length, tasks by instruction index.

    states: keys of the state vectors, concatenated.
    recorded: further arrays that the model needs (`ModelConfig.recorded`).
    """

    cameras: tuple[str, ...]
    chunk_size: int
    tasks: tuple[str, ...]
    states: tuple[str, ...] = (STATE,)
    recorded: tuple[Recorded, ...] = ()


class Clips:
    """All windows of one or several stores, one per recorded step.

    Windows near an episode's end are padded with its last step and marked invalid there. ``holdout`` is the share of
    each store's episodes (the last ones) kept out of training; ``split="held out"`` holds those. ``most`` takes the
    first so many episodes of each store's split (0: all). ``features`` (one store per store, see ``open_features``)
    adds a frozen encoder's features of the future frames. ``demonstrated`` bool (W,): windows of demonstrations.

    Raises ValueError where a store lacks a camera or an array, or holds a task that ``spec`` does not name.
    """

    def __init__(
        self,
        stores: Sequence[EpisodeStore],
        spec: ClipSpec,
        holdout: float = 0.0,
        split: str = "train",
        most: int = 0,
        features: Sequence[EpisodeStore] = (),
    ) -> None:
        self.stores, self.spec, self.features = list(stores), spec, list(features)
        self._cached: dict[tuple[int, str], np.ndarray] = {}
        parts = []
        for number, store in enumerate(self.stores):
            _check(store, spec)
            cut = store.episodes - round(holdout * store.episodes)
            first, last = (0, cut) if split == "train" else (cut, store.episodes)
            if most > last - first:
                raise ValueError(f"{store.path} has {last - first} episodes to train on, expected {most} or more")
            keep = slice(first, first + most if most else last)
            infos = store.meta["info"] or [{}] * store.episodes
            shown = [info.get("behaviour", DEMONSTRATOR) == DEMONSTRATOR for info in infos[keep]]
            tasks = np.array([spec.tasks.index(task) for task in store.tasks], np.int64)[store.task_index[keep]]
            end, length = store.ends[keep], np.diff(store.ends, prepend=0)[keep]
            columns = (end - length, end, np.full(len(end), number), tasks, np.array(shown, bool))
            begin, *rest = (np.repeat(column, length) for column in columns)
            parts.append((np.arange(len(begin)) + (begin[0] if len(begin) else 0), begin, *rest))
        self.time, self.begin, self.end, self.owner, self.task, self.demonstrated = map(
            np.concatenate, zip(*parts, strict=True)
        )
        if not len(self):
            many = max(store.episodes for store in self.stores)
            some = f"; holdout={holdout:g} of {many} is none: holdout={1 / many:.2g} keeps one, 0 takes all"
            names = ", ".join(str(s.path) for s in self.stores)
            raise ValueError(f"no episodes in the {split} split of {names}{some if split != 'train' else ''}")
        self._tolerance = np.stack([tolerance(store) for store in self.stores])
        self._shown = np.flatnonzero(self.demonstrated)

    def __len__(self) -> int:
        return len(self.time)

    def order(self, step: int, batch: int, seed: int, demonstrated: bool = False) -> np.ndarray:
        """Windows of training step ``step``: each once per epoch, in an order fixed by seed and epoch.

        ``demonstrated``: only those of demonstrations.
        """
        many = len(self._shown) if demonstrated else len(self)
        first = step * batch
        epochs = range(first // many, (first + batch - 1) // many + 1)
        order = np.concatenate([np.random.default_rng([seed, e]).permutation(many) for e in epochs])
        offset = first - epochs[0] * many
        chosen = order[offset : offset + batch]
        return self._shown[chosen] if demonstrated else chosen

    def gather(
        self, windows: np.ndarray, at: np.ndarray | None = None, states: bool = False, done: bool = False
    ) -> Clip:
        """The windows' clip (NumPy arrays); with ``at`` (B, F), also the frames that many steps later.

        ``states`` adds the states of those steps, ``more_future["observation.state"]`` float32 (B, F, S). ``done``:
        ``action`` is the executed one, valid after a perturbation as well.
        """
        time, (chunk, inside) = self.time[windows], self._steps(windows, np.arange(self.spec.chunk_size))
        wanted, executed = self._take(ACTION, windows, chunk), self._take(EXECUTED, windows, chunk)
        action, valid = labels(wanted, executed, ~inside, self._tolerance[self.owner[windows]], done)
        future = future_valid = features = None
        later_more = self._later(windows, frames=at is not None)
        if at is not None:
            later, future_valid = self._steps(windows, at)
            future = self._images(windows, later)
            if states:
                later_more[STATE] = self._state(windows, later)
            if self.features:
                each = [self._take(feature_key(camera), windows, later) for camera in self.spec.cameras]
                features = np.stack(each, axis=2)
        return Clip(
            images=self._images(windows, time),
            state=self._state(windows, time),
            task=self.task[windows],
            action=action,
            executed=executed,
            valid=valid,
            future=future,
            at=at,
            future_valid=future_valid,
            more=self._past(windows),
            more_future=later_more,
            features=features,
            windows=windows,
        )

    def rows(self, windows: Tensor, frames: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (empty unless ``frames``), states and executed actions of these windows' own steps (tensors)."""
        flat = windows.cpu().numpy().reshape(-1)
        time = self.time[flat]
        rows = [
            self._images(flat, time) if frames else np.zeros(0, np.uint8),
            self._state(flat, time),
            self._take(EXECUTED, flat, time),
        ]
        seen, *numbers = (torch.as_tensor(row).to(windows.device) for row in rows)
        state, executed = (each.unflatten(0, windows.shape) for each in numbers)
        return seen.unflatten(0, windows.shape) if frames else seen, state, executed

    def bounds(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """First and last window of the episodes that these windows belong to."""
        flat = windows.cpu().numpy()
        found = (edge[flat] + flat - self.time[flat] for edge in (self.begin, self.end - 1))
        first, last = (torch.as_tensor(edge).to(windows.device) for edge in found)
        return first, last

    def sample(self, most: int, seed: int) -> Clip:
        """Up to ``most`` random windows without frames, to fit ranges to.

        ``more``: further modalities at the observation's own step, (n, 1, ...). ``more_future``, ``future_valid``:
        the state one control step later, (n, 1, S), and whether that is within the episode.
        """
        windows = np.random.default_rng(seed).permutation(len(self))[:most]
        time, (chunk, valid) = self.time[windows], self._steps(windows, np.arange(self.spec.chunk_size))
        action, (after, inside) = self._take(ACTION, windows, chunk), self._steps(windows, np.array([1]))
        return Clip(
            images=np.zeros((len(windows), 0, 16, 16, 3), np.uint8),
            state=self._state(windows, time),
            task=self.task[windows],
            action=action,
            executed=action,
            valid=valid,
            future_valid=inside,
            more={each.key: self._take(each.key, windows, time[:, None]) for each in self.spec.recorded},
            more_future={STATE: self._state(windows, after)},
        )

    def _steps(self, windows: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steps ``offsets`` (k,) or (B, k) after each window's own, held inside its episode; and which lie there."""
        time, begin, end = (values[windows][:, None] for values in (self.time, self.begin, self.end))
        wanted = time + offsets
        return np.clip(wanted, begin, end - 1), (wanted >= begin) & (wanted < end)

    def _past(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """Further modalities up to the observation, (B, past, ...): zeros before the episode's start."""
        out = {}
        for each in self.spec.recorded:
            steps, inside = self._steps(windows, np.arange(1 - each.past, 1))
            rows = self._take(each.key, windows, steps)
            inside = inside.reshape(*inside.shape, *[1] * (rows.ndim - 2))
            out[each.key] = np.where(inside, rows, np.zeros((), rows.dtype))
        return out

    def _later(self, windows: np.ndarray, frames: bool) -> dict[str, np.ndarray]:
        """The same in the control steps after it, (B, later, ...), and ``<key>.valid``: within the episode."""
        out = {}
        for each in self.spec.recorded:
            if frames or each.role == "actions":
                steps, out[f"{each.key}.valid"] = self._steps(windows, np.arange(1, each.later + 1))
                out[each.key] = self._take(each.key, windows, steps)
        return out

    def load(self) -> None:
        """Copy all frames into memory, for slow disks or small page caches."""
        for number, store in enumerate(self.stores):
            for key in map(image_key, self.spec.cameras):
                self._cached[number, key] = np.asarray(store.array(key)[:])

    def _rows(self, number: int, key: str, time: np.ndarray) -> np.ndarray:
        """Rows of one store's array; actions where it does not record the executed ones. Numbers as float32, but for
        frames and features."""
        if (cached := self._cached.get((number, key))) is not None:
            return cached[time]
        store = self.features[number] if key.startswith(FEATURES) else self.stores[number]
        key = ACTION if key == EXECUTED and EXECUTED not in store.keys else key
        rows = np.asarray(store.array(key).take(time))
        return rows if rows.dtype in (np.uint8, np.float16) else rows.astype(np.float32, copy=False)

    def _state(self, windows: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Concatenated state vectors, float32 (*time.shape, S)."""
        return np.concatenate([self._take(key, windows, time) for key in self.spec.states], axis=-1)

    def _images(self, windows: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Frames of all cameras, uint8 (*time.shape, C, H, W, 3)."""
        frames = [self._take(image_key(camera), windows, time) for camera in self.spec.cameras]
        if not frames:
            return np.zeros((*time.shape, 0, 16, 16, 3), np.uint8)
        return np.stack(frames, axis=-4)

    def _take(self, key: str, windows: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Rows of one array at ``time`` (B, ...), each from the store that its window belongs to."""
        if len(self.stores) == 1:
            return self._rows(0, key, time)
        out: np.ndarray | None = None
        for number in range(len(self.stores)):
            mine = self.owner[windows] == number
            if mine.any():
                rows = self._rows(number, key, time[mine])
                if out is None:
                    out = np.empty((*time.shape, *rows.shape[time.ndim :]), rows.dtype)
                out[mine] = rows
        assert out is not None
        return out


def _check(store: EpisodeStore, spec: ClipSpec) -> None:
    """Raise ValueError for what a store lacks."""
    for each in spec.recorded:
        if each.key not in store.keys:
            raise ValueError(f"{store.path} {each.in_data or f'has no array {each.key!r}'}")
    for key in (*map(image_key, spec.cameras), *spec.states, ACTION):
        if key not in store.keys:
            raise ValueError(f"{store.path} has no array {key!r}; it has {', '.join(store.keys)}")
    if unknown := [task for task in store.tasks if task not in spec.tasks]:
        raise ValueError(f"{store.path} holds task {unknown[0]!r}, the model knows {', '.join(spec.tasks)}")
