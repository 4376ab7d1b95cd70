"""A checkpoint to be used from Python: it acts on observations, one or a batch, and imagines what actions lead to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.data.source import fit
from worldmodel.policies.load import PYTHON, LoadedPolicy, PolicyOptions, load_policy
from worldmodel.schema import IMAGES, LEROBOT, STATE


def load(name: str = "shipped", task: str | None = None, n_action_steps: int = 8, **options: Any) -> "Agent":
    """A policy by its name: ``shipped``, the folder of a run or model, ``lerobot:FOLDER`` or ``python:FILE.py:NAME``.

    task: what it is to do; None for the first that a checkpoint of ours was trained for. n_action_steps: how many
    actions of each chunk are meant to be executed. options: ``steps``, ``device`` and ``instruction``, as
    `worldmodel evaluate` has them. Raises UserError or CheckpointError, one line, where there is none or it cannot act.
    """
    name = str(name)
    ours = not name.startswith((PYTHON, LEROBOT))
    task = task or (checkpoint.card(name)["config"]["tasks"][0] if ours else "place_can")
    settled = PolicyOptions(n_action_steps, **options)
    return Agent(load_policy(name, task, settled), task, settled)


class Agent:
    """What `load` gives. Attributes: ``cameras`` and ``size`` that it observes, ``chunk_size``, ``n_action_steps``,
    ``task``; ``loaded``: the policy itself and what is known of it.
    """

    def __init__(self, loaded: LoadedPolicy, task: str, options: PolicyOptions) -> None:
        self.loaded, self.task, self.options = loaded, task, options
        self.cameras, self.size, self.chunk_size = loaded.cameras, loaded.size, loaded.policy.chunk_size
        self.n_action_steps: int = getattr(loaded.policy, "n_action_steps", self.chunk_size)

    def loaded_for(self, task: str) -> LoadedPolicy:
        """The same policy with another task as its instruction; UserError where it does not know that."""
        return self.loaded if task == self.task else load_policy(self.loaded.name, task, self.options)

    def reset(self) -> None:
        """Call at the beginning of an episode."""
        self.loaded.policy.reset()

    def act(self, observation: Mapping[str, Any]) -> Float[np.ndarray, "*B H A"]:
        """Action chunks, float32 (H, A), or (B, H, A) for a batch, in physical units.

        observation: ``observation.images.<camera>`` uint8 (H, W, 3), cropped to the middle and resized where it is not
        ``size`` pixels, ``observation.state`` float32 (S,), and what else the policy needs; all with a leading axis B
        for a batch. Raises ValueError, one line, where something is missing or of another width.
        """
        batch, alone = self._batch(observation)
        chunk = np.asarray(self.loaded.policy.act(batch), np.float32)
        return chunk[0] if alone else chunk

    def imagine(
        self, observation: Mapping[str, Any], actions: np.ndarray, steps: Sequence[int] | None = None
    ) -> dict[str, np.ndarray]:
        """The frames that the model expects under ``actions`` (n, A), or (B, n, A) for a batch, n at most a chunk.

        steps: how many control steps after the observation; None: after each action. Returns uint8 (F, size, size, 3),
        or (B, F, size, size, 3), for every camera's key. Raises UserError for a policy that imagines nothing.
        """
        policy: Any = self.loaded.policy
        if not hasattr(policy, "imagine"):
            raise UserError(f"{self.loaded.name}: cannot imagine; only a checkpoint of worldmodel's can")
        batch, alone = self._batch(observation)
        given = np.asarray(actions, np.float32)
        given = given[None] if alone else given
        count = given.shape[1]
        if not 1 <= count <= self.chunk_size:
            raise ValueError(f"actions of {count} control steps: expected 1 to {self.chunk_size}, a chunk")
        rest = np.repeat(given[:, -1:], self.chunk_size - count, axis=1)
        frames = policy.imagine(batch, np.concatenate([given, rest], axis=1), steps or range(1, count + 1))
        return {key: value[0] if alone else value for key, value in frames.items()}

    def _batch(self, observation: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], bool]:
        """The observation as a batch of frames that fit, and whether it was one alone."""
        seen = {key: np.asarray(value) for key, value in observation.items()}
        more, key = (1 if self.loaded.n_obs_steps > 1 else 0), next((k for k in seen if k.startswith(IMAGES)), STATE)
        if key not in seen:
            raise ValueError(f"the observation has neither frames nor {STATE!r}, only {', '.join(seen) or 'nothing'}")
        alone = seen[key].ndim == (3 if key.startswith(IMAGES) else 1) + more
        seen = {key: value[None] if alone else value for key, value in seen.items()}
        for key in [key for key in seen if key.startswith(IMAGES) and seen[key].dtype == np.uint8]:
            *lead, height, width, channels = seen[key].shape
            frames = fit(seen[key].reshape(-1, height, width, channels), self.size)
            seen[key] = frames.reshape(*lead, *frames.shape[1:])
        return seen, alone
