"""Frames of stores with where everything is, and the same after some imagined steps."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel.data.store import EpisodeStore
from worldmodel.model import WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.schema import ENVIRONMENT_STATE, EXECUTED, SIMULATOR_STATE, STATE, image_key
from worldmodel.sims.can.scene import load_scene
from worldmodel.sims.can.tasks import get_task


@dataclass(frozen=True)
class Labelled:
    """Frames of all cameras; positions of can, gripper (3) and bin (2) in metres; 1 where both pads touch the can."""

    frames: UInt8[Tensor, "N C H W 3"]
    truth: Float[Tensor, "N 9"]


def recorded(store: EpisodeStore, cameras: tuple[str, ...], every: int = 1) -> Labelled:
    """All steps of a store, or every so many'th."""
    steps = np.arange(0, int(store.ends[-1]), every)
    frames = np.stack([np.asarray(store.array(image_key(name)).take(steps)) for name in cameras], 1)
    known = np.asarray(store.array(ENVIRONMENT_STATE).take(steps), np.float64)
    gripper = np.asarray(store.array(STATE).take(steps), np.float64)[:, :3]
    states = np.asarray(store.array(SIMULATOR_STATE).take(steps), np.float64)
    owner = store.task_index[np.searchsorted(store.ends, steps, side="right")]
    scenes = [load_scene(get_task(name).scene) for name in store.tasks]
    place, held = np.zeros((len(steps), 2)), np.zeros(len(steps))
    for row, state in enumerate(states):
        scene = scenes[owner[row]]
        scene.set_state(state[: scene.state_size])
        place[row], held[row] = (scene.bin.x, scene.bin.y), scene.touching == 2
    truth = np.concatenate([known[:, :3], gripper, place, held[:, None]], 1)
    return Labelled(torch.as_tensor(frames), torch.as_tensor(truth, dtype=torch.float32))


@torch.no_grad()
def imagined(model: WorldModel, store: EpisodeStore, real: Labelled, count: int, longest: int, seed: int) -> Labelled:
    """``count`` frames that a model imagines 1 to ``longest`` steps after recorded ones, under the executed actions.

    Labelled with what was recorded then: steps are few, so that what is shown is still there.
    """
    random = np.random.default_rng(seed)
    begins = np.concatenate([[0], store.ends[:-1]])
    actions = torch.as_tensor(np.asarray(store.array(EXECUTED).take(np.arange(int(store.ends[-1]))), np.float32))
    states = torch.as_tensor(np.asarray(store.array(STATE).take(np.arange(int(store.ends[-1]))), np.float32))
    frames, truth, rows = list[Tensor](), list[Tensor](), 64
    while sum(len(part) for part in frames) < count:
        episode = random.integers(len(store.ends), size=rows)
        room = store.ends[episode] - begins[episode] - longest - 1
        start = torch.as_tensor(begins[episode] + (random.random(rows) * np.maximum(room, 1)).astype(int))
        last = torch.as_tensor(store.ends[episode] - 1)
        rollout = ImaginedRollout(model, rows, 1)
        rollout.begin(real.frames[start], states[start])
        for step in range(1, longest + 1):
            seen, _ = rollout.step(actions[(start + step - 1).clamp(max=last)])
            if step in (1, 2, 4, 7, longest):
                there = start + step <= last
                frames.append(seen[there].clone())
                truth.append(real.truth[(start + step)[there]])
    return Labelled(torch.cat(frames)[:count], torch.cat(truth)[:count])
