"""What a served policy says of itself, and what a request must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import worldmodel
from worldmodel.client import unpack
from worldmodel.config import closest
from worldmodel.policies.load import LoadedPolicy
from worldmodel.schema import ARM, CONTROL_HZ, STATE, image_key
from worldmodel.sims.can import TASKS

ROOM = 65_536
"""Bytes of a request beside its arrays."""


class RequestError(ValueError):
    """A request that is refused, in one line that says what was expected."""


@dataclass(frozen=True)
class Request:
    """What a client sends: an observation (None where it only ends an episode) and what it says beside it."""

    observation: dict[str, np.ndarray] | None
    committed: np.ndarray | None = None
    executed: np.ndarray | None = None
    seed: int | None = None
    deadline: float | None = None
    reset: bool = False
    success: bool | None = None


@dataclass(frozen=True)
class Interface:
    """What a policy observes and gives, per control step and without a batch.

    arrays: shape and dtype of what it observes, by key; None for a size that is not known. Without any, a policy takes
    whatever arrays it is sent. action_dim: 0 where unknown.
    """

    task: str
    horizon: int
    prefix: int = 0
    action_dim: int = 0
    rate: float = float(CONTROL_HZ)
    arrays: Mapping[str, tuple[tuple[int | None, ...], str]] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: LoadedPolicy, task: str) -> Interface:
        policy: Any = loaded.policy
        shape = getattr(getattr(policy, "model", None), "config", None)
        frames = {image_key(camera): ((loaded.size, loaded.size, 3), "uint8") for camera in loaded.cameras}
        known = getattr(policy, "frames", None) is not None or shape is not None
        keys = shape.states if shape is not None else getattr(policy, "vectors", (STATE,)) if known else ()
        width = loaded.state_dim or None
        vectors: dict[str, Any] = {key: ((width if len(keys) == 1 else None,), "float32") for key in keys}
        for each in getattr(policy, "recorded", ()):
            if each.past:
                vectors[each.key] = ((each.past, *each.row), "float32")
        rate = float(getattr(shape, "control_hz", CONTROL_HZ))
        prefix = int(getattr(policy, "prefix", 0))
        return cls(task, policy.chunk_size, prefix, loaded.action_dim, rate, {**frames, **vectors} if known else {})

    def metadata(self, loaded: LoadedPolicy) -> dict[str, Any]:
        """The first message to a client; all of it plain MessagePack."""
        named = self.task in TASKS and self.action_dim == len(ARM[0])
        numbered = tuple(f"action.{number}" for number in range(self.action_dim))
        names, units = ARM if named else (numbered, ("as trained",) * self.action_dim)
        return {
            "server": f"worldmodel {worldmodel.__version__}",
            "task": self.task,
            "cameras": list(loaded.cameras),
            "image_size": [loaded.size, loaded.size],
            "observation": {k: {"shape": list(shape), "dtype": dtype} for k, (shape, dtype) in self.arrays.items()},
            "action_names": list(names),
            "action_units": list(units),
            "action_dim": self.action_dim,
            "rate": self.rate,
            "horizon": self.horizon,
            "prefix": self.prefix,
        }

    @property
    def size(self) -> int:
        """Bytes of an observation; 0 where unknown."""
        shapes = [(shape, np.dtype(dtype).itemsize) for shape, dtype in self.arrays.values()]
        return sum(int(np.prod([size or 64 for size in shape])) * item for shape, item in shapes)

    @property
    def limit(self) -> int:
        """Longest request in bytes: room for frames that are somewhat too large, so that the reply can say so."""
        return max(2**22, 4 * self.size + ROOM) if self.arrays else 2**25

    def parse(self, data: bytes | str) -> Request:
        """One request. Raises RequestError, one line."""
        if isinstance(data, str):
            raise RequestError("a request is binary: one MessagePack map of arrays; see the docs of `worldmodel serve`")
        try:
            values = unpack(data)
        except ValueError as error:
            raise RequestError(str(error)) from None
        reset, seed, deadline = values.get("reset", False), values.get("seed"), values.get("deadline")
        for name, value, kind, what in (
            ("reset", reset, bool, "true or false"),
            ("success", values.get("success"), bool | None, "true or false"),
            ("seed", seed, int | None, "a whole number, 0 or more"),
            ("deadline", deadline, float | int | None, "seconds above 0"),
        ):
            if not isinstance(value, kind) or (name in ("seed", "deadline") and not -1 < (value or 0) < 2**62):
                raise RequestError(f"{name}: expected {what}")
        committed = self._actions(values, "committed", self.prefix)
        executed = self._actions(values, "executed", self.horizon)
        unseen = reset and not any(key in values for key in self.arrays or values.keys() - {"reset", "success"})
        seen = None if unseen else self._observation(values)
        return Request(seen, committed, executed, seed, deadline, reset, values.get("success"))

    def _actions(self, values: Mapping[str, Any], name: str, most: int) -> np.ndarray | None:
        """Some actions that a request holds, float32 (n, A); None where it holds none."""
        if values.get(name) is None:
            return None
        actions = _numbers(name, values[name], np.dtype(np.float32))
        if actions.ndim != 2 or len(actions) > most or self.action_dim not in (0, actions.shape[1]):
            wanted = f"at most {most} rows of {self.action_dim or 'the same number of'} numbers"
            raise RequestError(f"{name}: shape {actions.shape}, expected {wanted}")
        return actions if len(actions) else None

    def _observation(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if not self.arrays:
            return {key: value for key, value in values.items() if isinstance(value, np.ndarray) and value.ndim < 5}
        seen = {}
        for key, (shape, name) in self.arrays.items():
            if key not in values:
                there = [str(known)[:60] for known in values][:20]
                hint = f"; {closest(key, there)}" if there else ""
                raise RequestError(f"the observation lacks {key!r}{hint}")
            array = _numbers(key, values[key], np.dtype(name))
            if len(array.shape) != len(shape) or any(
                want not in (None, has) for want, has in zip(shape, array.shape, strict=True)
            ):
                wanted = "x".join("n" if size is None else str(size) for size in shape)
                raise RequestError(f"{key} is {'x'.join(map(str, array.shape))}, expected {wanted}")
            seen[key] = array
        return seen


def _numbers(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """A copy as ``dtype``. RequestError for other kinds, and for numbers that are not finite."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise RequestError(f"{name}: expected an array of {dtype}") from None
    if array.dtype.kind not in "iuf" or (dtype == np.uint8 and array.dtype != np.uint8):
        raise RequestError(f"{name}: expected an array of {dtype}, not {str(array.dtype)[:20]}")
    with np.errstate(over="ignore", invalid="ignore"):
        copy = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(copy).all():
        raise RequestError(f"{name}: holds numbers that are not finite")
    return copy
