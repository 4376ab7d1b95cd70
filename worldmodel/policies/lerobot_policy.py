"""Any policy that LeRobot can load, as one of ours. Importing LeRobot takes ten seconds and most of a gigabyte."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodel.config import UserError
from worldmodel.policies.lerobot_folder import check_folder
from worldmodel.schema import ACTION, ENVIRONMENT_STATE, IMAGES, STATE, Arrays

try:
    from lerobot.configs import FeatureType
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies import get_policy_class, make_pre_post_processors
    from lerobot.utils.import_utils import register_third_party_plugins
except ImportError as error:
    raise UserError(f"LeRobot's policies need the extra: pip install 'worldmodel[lerobot]' ({error})") from None


class LeRobotPolicy:
    """Chunks of a LeRobot policy without memory: each call is a new episode as far as the policy knows.

    It observes the last ``n_obs_steps`` control steps; above 1, arrays have an axis for them, (B, n_obs_steps, ...).
    Of stochastic policies, equal seeds in equal batches give equal chunks. task: the instruction.
    Raises UserError, one line, where LeRobot cannot load it, or it needs what an observation of ours does not hold.
    """

    def __init__(self, folder: Path, task: str, device: str = "cpu") -> None:
        check_folder(folder)
        register_third_party_plugins()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                config = PreTrainedConfig.from_pretrained(folder)
                config.device = device
                self.policy: Any = get_policy_class(config.type).from_pretrained(folder, config=config).eval()
                there = {"device_processor": {"device": device}}
                self.before, self.after = make_pre_post_processors(
                    config, pretrained_path=str(folder), preprocessor_overrides=there
                )
        except Exception as error:  # LeRobot, draccus, safetensors and every policy have their own ways to fail
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: LeRobot cannot load it ({type(error).__name__}: {reason})") from error
        self.task, self.device, self.config = task, torch.device(device), config
        self.frames = {key: ft.shape for key, ft in config.input_features.items() if ft.type is FeatureType.VISUAL}
        self.vectors = [key for key in config.input_features if key not in self.frames]
        self.n_obs_steps = int(config.n_obs_steps)
        self._check(folder)
        self.chunk_size = int(getattr(config, "n_action_steps", None) or len(config.action_delta_indices))
        if self.n_obs_steps > 1:
            self.chunk_size = int(self.policy._queues[ACTION].maxlen)
        self.cameras = tuple(key.removeprefix(IMAGES) for key in self.frames)
        self.size = int(next(iter(self.frames.values()))[1]) if self.frames else 96

    def reset(self) -> None:
        """Nothing is remembered between chunks."""

    def act(self, observations: Arrays, seeds: np.ndarray | None = None) -> np.ndarray:
        """Action chunks, float32 (B, chunk_size, A), in the units that the policy was trained on."""
        rows = len(observations[STATE])
        with torch.inference_mode(), torch.random.fork_rng([] if self.device.type == "cpu" else [self.device]):
            if seeds is not None:
                torch.manual_seed(int(np.random.SeedSequence(seeds.tolist()).generate_state(1, np.uint64)[0] >> 1))
            self.policy.reset()
            batches = [self._batch(observations, rows, step) for step in range(self.n_obs_steps)]
            whole = self.n_obs_steps == 1
            chunk = self.policy.predict_action_chunk(batches[0]) if whole else self._remembering(batches)
            actions = [self.after(action) for action in chunk[:, : self.chunk_size].unbind(1)]
        return torch.stack(actions, 1).float().cpu().numpy()

    def _batch(self, observations: Arrays, rows: int, step: int) -> dict[str, Any]:
        """One observation as in LeRobot's own loop: float frames, colour first; then through the policy's processor."""
        batch: dict[str, Any] = {"task": [self.task] * rows}
        for key in (*self.frames, *self.vectors):
            array = np.asarray(observations[key])
            values = torch.as_tensor(array if self.n_obs_steps == 1 else array[:, step])
            batch[key] = values.movedim(-1, 1).float() / 255 if key in self.frames else values.float()
        return dict(self.before(batch))

    def _remembering(self, batches: list[dict[str, Any]]) -> Tensor:
        """A chunk of a policy with a memory of observations, which only `select_action` fills."""
        queue, rows = self.policy._queues[ACTION], len(batches[0]["task"])
        for earlier in batches[:-1]:
            # With an action left over it only keeps the observation
            queue.append(torch.zeros(rows, self.config.output_features[ACTION].shape[0], device=self.device))
            self.policy.select_action(earlier)
        return torch.stack([self.policy.select_action(batches[-1]) for _ in range(self.chunk_size)], dim=1)

    def _check(self, folder: Path) -> None:
        sides = {side for shape in self.frames.values() for side in shape[1:]}
        if len(sides) > 1:
            raise UserError(f"{folder}: it observes frames of {sorted(sides)} pixels; expected squares of one size")
        if unknown := [key for key in self.vectors if key not in (STATE, ENVIRONMENT_STATE)]:
            raise UserError(f"{folder}: it needs {unknown[0]!r}; an observation has {STATE} and {ENVIRONMENT_STATE}")
        if getattr(self.config, "temporal_ensemble_coeff", None) is not None:
            raise UserError(f"{folder}: it averages over chunks in time, which a chunk cannot do; train with none")
        if self.n_obs_steps > 1 and ACTION not in (getattr(self.policy, "_queues", None) or {}):
            raise UserError(f"{folder}: it remembers {self.n_obs_steps} observations in a way that is not known here")


def sha256(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        found.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
