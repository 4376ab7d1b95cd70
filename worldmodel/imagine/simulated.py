"""What really happens where a dream is led: the simulator, put at the same moment and given the same actions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from rich.progress import track

from worldmodel import envs
from worldmodel.collect.demonstrate import SIMULATOR_STATE
from worldmodel.config import UserError
from worldmodel.data.clips import Clips
from worldmodel.experience import image_key


def simulate(
    clips: Clips, begins: Int[np.ndarray, " B"], actions: Float[np.ndarray, "B T A"]
) -> UInt8[np.ndarray, "B T C H W 3"]:
    """Frames of all cameras after each of these actions, begun at these steps of the store, as large as its own.

    It goes on after success and past a task's time. Raises UserError where the states do not fit the simulator; see
    `check_restorable` for what can be known before.
    """
    store, cameras = clips.stores[0], clips.spec.cameras
    size = store.row(image_key(cameras[0]))[0]
    tasks = [store.tasks[kind] for kind in store.task_index[np.searchsorted(store.ends, begins, side="right")]]
    frames = np.zeros((*actions.shape[:2], len(cameras), size, size, 3), np.uint8)
    worlds = {task: envs.make(task, cameras=cameras, size=size) for task in sorted(set(tasks))}
    for b in track(range(len(begins)), f"{len(begins)} times in the simulator", transient=True):
        world, state = worlds[tasks[b]], np.asarray(store.array(SIMULATOR_STATE)[int(begins[b])], np.float64)
        try:
            world.reset(seed=0, options={"state": state})
        except ValueError as error:
            raise UserError(f"{store.path}: {' '.join(str(error).split())}") from error
        for t, action in enumerate(actions[b]):
            seen = world.step(action)[0]
            frames[b, t] = [seen[image_key(camera)] for camera in cameras]
    for world in worlds.values():
        world.close()
    return frames
