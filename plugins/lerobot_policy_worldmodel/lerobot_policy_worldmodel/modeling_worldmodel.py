"""A world model as a LeRobot policy: learns in `forward`, averages its weights in `update`, acts from the average."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

import torch
from jaxtyping import Float, UInt8
from lerobot.policies.pretrained import PreTrainedPolicy
from safetensors.torch import load_file
from torch import Tensor, nn

from lerobot_policy_worldmodel import fitting
from lerobot_policy_worldmodel.batches import Batch, StepTable, given
from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from lerobot_policy_worldmodel.learning import LeRobotDraws
from worldmodel.backbone import fast_dtype
from worldmodel.model import Given, WorldModel
from worldmodel.report.video import text_bar
from worldmodel.train.optimiser import average
from worldmodel.train.state import fit_ranges

LEARNING, AVERAGE = "model.", "ema."
"""Where a policy's weights are in its safetensors file: those that learn, and their moving average."""


class WorldModelPolicy(PreTrainedPolicy):
    """LeRobot's policy interface around two `WorldModel`s: the weights that learn and their moving average.

    A file without ``model.*`` holds a finished policy, the average alone; training it further begins from there.
    A fresh policy takes its shape and its ranges from the data set that LeRobot hands over as ``dataset_meta``.
    """

    config_class = WorldModelConfig
    name = "worldmodel"
    config: WorldModelConfig
    updates: Tensor

    def __init__(self, config: WorldModelConfig, dataset_meta: Any = None, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        store = None if dataset_meta is None else fitting.open_data(dataset_meta, config.size)
        fresh = not config.fitted
        if fresh:
            config.model = fitting.shape_of_features(config) if store is None else fitting.shape_of_data(config, store)
            config.fitted = True
        elif store is not None:
            fitting.check(config.model, store)
        fitting.keep_features(config)
        torch.manual_seed(config.seed)
        self.model = WorldModel(config.model, config.objective.spec.teacher != "none")
        recorded: StepTable | None = None
        if store is not None:
            clips = fitting.windows(config.model, store)
            recorded = StepTable.of(store, clips)
            if fresh:
                fit_ranges(self.model, clips, config.seed)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._recorded = recorded
        self._draws: LeRobotDraws | None = None
        self._parts: dict[str, float] = {}
        self._acting: tuple[WorldModel, ...] = ()  # in a tuple: no part of the weights
        self._queue: deque[Tensor] = deque()
        self.last_predicted_latents: Tensor | None = None

    def get_optim_params(self) -> dict[str, nn.Parameter]:
        """The weights that learn, by name: matrices of the blocks have an optimiser of their own."""
        return dict(self.model.named_parameters())

    def forward(self, batch: Batch, reduction: str = "mean") -> tuple[Tensor, dict[str, float]]:
        """The training loss of a batch in a mode drawn for it, and the last value of every mode's parts so far."""
        if reduction != "mean":
            raise ValueError("policy worldmodel has one loss for a whole batch: leave sample_weighting out")
        if self._draws is None:
            self._draws = LeRobotDraws(self.config, self.model, self.ema, self._recorded)
        mode, found = self._draws.loss(batch, int(self.updates), self.training)
        # All that are known: LeRobot's log shows a zero for whatever a step leaves out
        self._parts |= {f"{mode}_{name}": float(value.detach()) for name, value in found.items() if name != "loss"}
        return found["loss"], dict(self._parts)

    def update(self) -> None:
        """Move the average towards the weights; LeRobot calls this after every optimiser step."""
        average(self.ema, self.model, int(self.updates), self.config.optimiser.ema)
        self.updates += 1
        self._acting = ()

    def reset(self) -> None:
        """Forget the actions that are still to come."""
        self._queue.clear()

    @torch.no_grad()
    def predict_action_chunk(
        self, batch: Batch, noise: Tensor | None = None, **_: Any
    ) -> Float[Tensor, "B chunk_size A"]:
        """The next chunk, physical units. ``noise``: what sampling starts from, in model units, like the chunk."""
        return self._chunk(given(batch, self._actor(), self.config.task), noise)

    @torch.no_grad()
    def select_action(self, batch: Batch, noise: Tensor | None = None, **_: Any) -> Float[Tensor, "B A"]:
        """The next action; a new chunk is predicted when ``execute`` of the last one have been carried out."""
        if not self._queue:
            seen = given(batch, self._actor(), self.config.task)
            chunk = self._chunk(seen, noise)
            if self.config.save_predicted_video:
                self.last_predicted_latents = self._imagine(seen, chunk)
            self._queue.extend(chunk[:, : self.config.execute].unbind(1))
        return self._queue.popleft()

    def decode_predicted_latents(self, latents: Tensor) -> UInt8[Tensor, "T H W 3"]:
        """What `lerobot-eval` films: the imagined frames (1, 3, T, H, W) of the first env, its cameras side by side.

        Under each a line says that it was imagined: LeRobot writes the file, so its metadata cannot.
        """
        frames = latents[0].permute(1, 2, 3, 0)
        bar = torch.as_tensor(text_bar(frames.shape[2], "imagined").copy(), device=frames.device)
        return torch.cat([frames, bar.expand(len(frames), -1, -1, -1)], dim=1)

    def _chunk(self, seen: Given, noise: Tensor | None) -> Tensor:
        return self._actor().act(seen, self.config.sampler_steps, noise).float()

    def _imagine(self, seen: Given, chunk: Tensor) -> Tensor:
        """The frames expected while the chunk is executed, uint8 (1, 3, execute, H, W x cameras); first row alone."""
        first = Given(seen.images[:1], seen.state[:1], seen.task[:1], actions=chunk[:1], more=_first(seen.more))
        frames = self._actor().frames_ahead(first, range(1, self.config.execute + 1), self.config.sampler_steps)
        return frames[0].movedim(1, -3).flatten(-3, -2).permute(3, 0, 1, 2)[None]

    def _actor(self) -> WorldModel:
        """The average in the number format that this machine multiplies fast; made anew after every update."""
        if not self._acting or self._acting[0].actions.slot.device != self.ema.actions.slot.device:
            actor = copy.deepcopy(self.ema).eval()
            self._acting = (actor.compute_in(fast_dtype(actor.actions.slot.device)),)
        return self._acting[0]

    @classmethod
    def _load_as_safetensor(  # the one place where LeRobot lets a policy say what its file means
        cls, model: WorldModelPolicy, model_file: str, map_location: str, strict: bool
    ) -> WorldModelPolicy:
        tensors = load_file(model_file)
        if not any(name.startswith(LEARNING) for name in tensors):
            tensors |= {LEARNING + name.removeprefix(AVERAGE): t for name, t in tensors.items() if name != "updates"}
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        new = [name for name in missing if ".projector." not in f".{name}" and name != "updates"]
        if new or unexpected:
            raise ValueError(f"{model_file}: weights do not fit its config.json ({[*new, *unexpected][0]})")
        model._acting = ()
        return model.to(map_location)


def _first(more: Any) -> dict[str, Tensor]:
    return {key: value[:1] for key, value in more.items()}
