"""The simulator from the same state under the same actions: the truth beside an imagined rollout."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from jaxtyping import Float, Int, UInt8

from worldmodel import envs
from worldmodel.config import UserError
from worldmodel.data.clips import Clips
from worldmodel.schema import SIMULATOR_STATE, image_key


def simulate(
    clips: Clips, begins: Int[np.ndarray, " B"], actions: Float[np.ndarray, "B T A"]
) -> Generator[UInt8[np.ndarray, "B C H W 3"]]:
    """Frames of all cameras, as large as the store's, after each action, begun at these steps of the store.

    It continues after success and past the time limit. Raises UserError where the states do
    not fit the simulator; see `check_restorable` for what can be known before.
    """
    store, cameras = clips.stores[0], clips.spec.cameras
    size, worlds = store.row(image_key(cameras[0]))[0], []
    try:
        for begin, episode in zip(begins, np.searchsorted(store.ends, begins, side="right"), strict=True):
            task = store.tasks[store.task_index[episode]]
            worlds.append(envs.make(task, cameras=cameras, size=size))
            state = np.asarray(store.array(SIMULATOR_STATE)[int(begin)], np.float64)
            try:
                worlds[-1].reset(seed=0, options={"state": state})
            except ValueError as error:
                raise UserError(f"{store.path}: {' '.join(str(error).split())}") from error
        for t in range(actions.shape[1]):
            seen = [world.step(actions[b, t])[0] for b, world in enumerate(worlds)]
            yield np.stack([[one[image_key(camera)] for camera in cameras] for one in seen])
    finally:
        for world in worlds:
            world.close()
