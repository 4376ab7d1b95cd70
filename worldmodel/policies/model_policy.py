"""A world model as a policy: arrays in, action chunks out, and on request the frames it expects to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from worldmodel.backbone import fast_dtype
from worldmodel.model import Given, WorldModel
from worldmodel.schema import Arrays, cameras_of, image_key
from worldmodel.tokens.task import SENTENCE, index_of


class ModelPolicy:
    """Chunks of ``chunk_size`` actions from a trained model, of which ``n_action_steps`` are meant to be carried out.

    task: name of the instruction. steps: sampling steps per chunk. seed: of the sampling noise, unless ``act`` is given
    ``seeds``. sentence: for a model that reads; None takes the task's own.
    ``history``: control steps of further observations that ``act`` needs, by key, oldest first and zeros before the
    episode began: (B, steps, ...); one step alone, (B, ...), follows zeros.
    ``prefix``: how many committed actions its chunks have learned to continue.
    ``fast``: what does the model's ``act`` in its place (see `worldmodel.policies.fast`), or None.
    """

    fast: Callable[[Given, Tensor], np.ndarray] | None

    def __init__(
        self,
        model: WorldModel,
        task: str = "place_can",
        n_action_steps: int = 8,
        steps: int = 2,
        seed: int = 0,
        device: str = "cpu",
        sentence: str | None = None,
    ) -> None:
        if not 1 <= n_action_steps <= model.config.chunk_size:
            raise ValueError(f"n_action_steps={n_action_steps}: expected 1 to {model.config.chunk_size}")
        self.chunk_size, self.n_action_steps, self.steps = model.config.chunk_size, n_action_steps, steps
        self.device, self.fast = torch.device(device), None
        self.model = model.eval().to(self.device).compute_in(fast_dtype(self.device))
        self.task = index_of(task, model.config.tasks)
        self.recorded = model.config.recorded
        self.history = {each.key: each.past for each in self.recorded if each.past}
        self.prefix = model.config.prefix
        self.said: np.ndarray | None = None
        if sentence is not None and model.config.words:
            self.said = model.instruction.encode(sentence)
        elif sentence is not None:
            raise ValueError(f"instruction {sentence!r}: this model reads no sentences; leave it out and give task=")
        self.generator = torch.Generator().manual_seed(seed)

    def reset(self) -> None:
        """Nothing is remembered between chunks."""

    def act(
        self,
        observations: Arrays,
        seeds: np.ndarray | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> np.ndarray:
        """Action chunks, float32 (B, chunk_size, A) in physical units; ``seeds`` int64 (B,) fix each row's noise.

        committed: for each row the actions that will be carried out whatever comes out, float32 (d, A) in physical
        units with d <= ``prefix``, or None: its chunk begins with them and continues them.
        Raises ValueError if cameras, frame size, state or committed actions do not fit the model.
        """
        given = self._given(observations)
        shape = (self.chunk_size, self.model.config.action_dim)
        if committed is not None:
            given = self._commit(given, committed)
        start: Tensor | None = None
        if seeds is not None:
            rows = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
            start = torch.stack(rows).to(self.device)
        if self.fast is None:
            chunk = self.model.act(given, self.steps, start, self.generator).float().cpu().numpy()
        else:
            drawn = torch.randn((len(given.state), *shape), generator=self.generator) if start is None else start
            chunk = self.fast(given, drawn)
        for row, actions in enumerate(committed or ()):
            if actions is not None:
                chunk[row, : len(actions)] = actions  # which model units and back had rounded
        return chunk

    def imagine(
        self, observations: Arrays, actions: np.ndarray, steps: Sequence[int], passes: int = 2
    ) -> dict[str, np.ndarray]:
        """Frames expected ``steps`` control steps after the observation under ``actions`` (B, chunk_size, A).

        Returns uint8 (B, len(steps), H, W, 3) for every camera's key. Frames are imagined in pairs, as in training.
        """
        given = replace(self._given(observations), actions=torch.as_tensor(actions, device=self.device))
        frames = self.model.frames_ahead(given, steps, passes, self.generator).cpu()
        return {image_key(camera): frames[:, :, n].numpy() for n, camera in enumerate(self.model.config.cameras)}

    def _given(self, observations: Arrays) -> Given:
        config = self.model.config
        if missing := [camera for camera in config.cameras if image_key(camera) not in observations]:
            seen = ", ".join(cameras_of(observations)) or "none"
            raise ValueError(f"this model needs camera {missing[0]!r}; the observation has: {seen}")
        frames = [observations[image_key(camera)] for camera in config.cameras]
        state = self._state(observations)
        blind = np.zeros((len(state), 0, config.size, config.size, 3), np.uint8)
        images = np.stack(frames, axis=1) if frames else blind
        if images.shape[2:] != (config.size, config.size, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"this model needs uint8 frames of {config.size}x{config.size}x3, got {images.dtype} "
                f"{'x'.join(map(str, images.shape[2:]))}; make the env with size={config.size}"
            )
        pixels, vector = (torch.as_tensor(array, device=self.device) for array in (images, state))
        task = torch.full((len(state),), self.task, device=self.device)
        more = {key: value.to(self.device) for key, value in self._more(observations, len(state)).items()}
        return Given(pixels, vector, task, more=more)

    def _commit(self, given: Given, committed: Sequence[np.ndarray | None]) -> Given:
        """Add the committed actions: targets in the world, whatever state they were decided in."""
        counts = [0 if actions is None else len(actions) for actions in committed]
        prefix = np.zeros((len(counts), max(counts), self.model.config.action_dim), np.float32)
        for row, actions in enumerate(committed):
            if actions is not None:
                prefix[row, : len(actions)] = actions
        known, count = (torch.as_tensor(array, device=self.device) for array in (prefix, np.array(counts)))
        return replace(given, prefix=known, committed=count)

    def _more(self, observations: Arrays, batch: int) -> dict[str, Tensor]:
        """Sentence and further observations, for models that have such."""
        more: dict[str, Tensor] = {}
        if self.said is not None:
            more[SENTENCE] = torch.as_tensor(self.said).repeat(batch, 1)
        for each in self.recorded:
            if not each.past:
                continue
            if each.key not in observations:
                raise ValueError(f"this model needs {each.key!r}" + (each.in_env and f"; {each.in_env}"))
            rows = np.asarray(observations[each.key], np.float32)
            if rows.ndim == 1 + len(each.row):
                before = np.zeros((len(rows), each.past - 1, *each.row), np.float32)
                rows = np.concatenate([before, rows[:, None]], axis=1)
            more[each.key] = torch.as_tensor(rows)
        return more

    def _state(self, observations: Arrays) -> np.ndarray:
        """The state vectors that the model reads, one after another, float32 (B, S)."""
        config = self.model.config
        if missing := [key for key in config.states if key not in observations]:
            raise ValueError(f"this model needs {missing[0]!r}; the observation has: {', '.join(observations)}")
        state = np.concatenate([np.asarray(observations[key], np.float32) for key in config.states], axis=-1)
        if state.shape[1:] != (config.state_dim,):
            raise ValueError(f"this model needs a state of {config.state_dim} numbers, got {state.shape[1:]}")
        return state
