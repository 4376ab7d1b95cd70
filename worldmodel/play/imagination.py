"""What the page drives: an imagined rollout, one action at a time; streamed where the checkpoint can, else chained."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.imagine.env import WorldModelEnv
from worldmodel.model import ModelConfig
from worldmodel.play.teleop import LaggedBody
from worldmodel.policies import ModelPolicy
from worldmodel.policies.load import LoadedPolicy, PolicyOptions, load_policy
from worldmodel.schema import CONTROL_HZ, STATE, Arrays, image_key
from worldmodel.sims.can.scene import CAMERAS

ANCHOR = 8
"""Control steps predicted from one observation: 4 s under a policy end at 16.9 dB with 1, at 19.7 dB with 8 or 16."""
PASSES = 1
"""Sampling passes of chained imagination: a second one loses 0.6 to 1 dB in a chain."""


@dataclass(frozen=True)
class Imagination:
    """A checkpoint that imagines. ``kind`` is "streaming" or "chained"; ``drives``: its policy was trained."""

    loaded: LoadedPolicy
    kind: str
    drives: bool
    steps: int

    def env(self, task: str) -> gymnasium.Env:
        """A new imagined env, to be reset with ``options={"observation": ...}``; one thread steps it."""
        policy: Any = self.loaded.policy
        if self.kind == "streaming":
            return WorldModelEnv(policy.model, task, steps=self.steps, device=self.loaded.device)
        return ChainedEnv(policy)

    def chunk(self, observation: Arrays) -> np.ndarray:
        """The policy's next actions, float32 (n_action_steps, 4)."""
        policy: Any = self.loaded.policy
        batch = {key: np.asarray(value)[None] for key, value in observation.items()}
        return np.asarray(policy.act(batch)[0, : policy.n_action_steps])


class ChainedEnv(gymnasium.Env):
    """Forward mode, chained: the frame k steps ahead, and every `ANCHOR` steps that frame is the observation.

    The last action is held for the rest of the chunk. The state, which no mode predicts, follows with a lag.
    """

    def __init__(self, policy: Any) -> None:
        self.policy, self.cameras = policy, policy.model.config.cameras
        self.anchor: dict[str, np.ndarray] = {}
        self.since: list[np.ndarray] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.policy.generator.manual_seed(seed or 0)
        observation: Arrays = (options or {})["observation"]
        self.body = LaggedBody(observation[STATE])
        self.anchor = {key: observation[key] for key in map(image_key, self.cameras)} | {STATE: self.body.state}
        self.since = []
        return self.anchor, {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.since.append(np.asarray(action, np.float32))
        ahead = len(self.since)
        chunk = np.stack([*self.since, *[self.since[-1]] * (self.policy.chunk_size - ahead)])
        found = self.policy.imagine({k: v[None] for k, v in self.anchor.items()}, chunk[None], [ahead], PASSES)
        seen = {key: frames[0, 0] for key, frames in found.items()} | {STATE: self.body.step(action)}
        if ahead >= min(ANCHOR, self.policy.chunk_size):
            self.anchor, self.since = seen, []
        return seen, 0.0, False, False, {}


def open_imagination(name: str, task: str, n_action_steps: int, steps: int, device: str) -> Imagination:
    """The checkpoint ``name`` made ready. Raises UserError, one line, where it cannot be played in or does not fit."""
    loaded = load_policy(name, task, PolicyOptions(n_action_steps, device=device, must_act=False))
    if not isinstance(loaded.policy, ModelPolicy):
        raise UserError(f"checkpoint={name}: only a world model imagines; use checkpoint=shipped")
    config = loaded.policy.model.config
    check_fit(name, config)
    modes = checkpoint.trained_modes(name)
    kind = "streaming" if config.window or config.memory else "chained"
    if kind == "chained" and modes is not None and "forward" not in modes:
        trained = f"modes.forward=0, modes.rollout=0; it was trained for: {', '.join(modes) or 'none'}"
        advice = "train one with modes.forward above 0, or use checkpoint=shipped"
        raise UserError(f"checkpoint={name}: it imagines nothing from actions ({trained}); {advice}")
    return Imagination(loaded, kind, modes is None or "policy" in modes, steps)


def check_fit(name: str, config: ModelConfig) -> None:
    """Raises UserError where a model's observations or actions are not those of our simulated arm."""
    wanted = {
        "control rate": (config.control_hz, float(CONTROL_HZ)),
        "actions": (config.action_dim, 4),
        "state": (list(config.states), [STATE]),
        "numbers of state": (config.state_dim, 4),
        "further observations": ([each.key for each in config.recorded if each.past], []),
    }
    for what, (has, needs) in wanted.items():
        if has != needs:
            raise UserError(f"checkpoint={name}: its {what} is {has}, play's simulator has {needs}; use another one")
    if not config.cameras or not set(config.cameras) <= set(CAMERAS):
        seen = ", ".join(config.cameras) or "none"
        raise UserError(f"checkpoint={name}: its cameras are {seen}, play's simulator has {', '.join(CAMERAS)}")
