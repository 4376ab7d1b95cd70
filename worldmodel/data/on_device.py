"""Windows whose arrays all lie in the memory of the device that learns, gathered there."""

import numpy as np
import torch
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.schema import ACTION, EXECUTED, STATE, Clip, image_key


class ClipsOnDevice:
    """The same windows as ``clips``, as tensors on ``device``: frames uint8 (N, C, H, W, 3), numbers float32 (N, d).

    Gathering gives what `Clips.gather` gives, on the device. ValueError without frames, or for further modalities.
    """

    def __init__(self, clips: Clips, device: torch.device) -> None:
        if clips.spec.recorded or clips.features or not clips.spec.cameras:
            raise ValueError("cache_on_device=true: expected frames, states and actions; use cache_in_memory=true")
        self.clips, self.spec, self.device = clips, clips.spec, device
        count = len(clips)
        row = clips.stores[0].row(image_key(clips.spec.cameras[0]))
        self.frames = torch.empty((count, len(clips.spec.cameras), *row), dtype=torch.uint8, device=device)
        every = np.arange(count)
        for number, camera in enumerate(clips.spec.cameras):
            for part in np.array_split(every, max(1, count // 20_000)):
                rows = clips._take(image_key(camera), part, clips.time[part])
                self.frames[int(part[0]) : int(part[-1]) + 1, number] = torch.as_tensor(rows).to(device)
        self.state = self._put(clips._state(every, clips.time))
        self.action = self._put(clips._take(ACTION, every, clips.time))
        self.executed = self._put(clips._take(EXECUTED, every, clips.time))
        shift = every - clips.time
        self.first, self.end = self._put(clips.begin + shift), self._put(clips.end + shift)
        self.task = self._put(clips.task)
        off = (self.action - self.executed).abs() > self._put(clips._tolerance[clips.owner])
        self.perturbed = off.any(-1)
        self.demonstrated = clips.demonstrated

    def __len__(self) -> int:
        return len(self.clips)

    def order(self, step: int, batch: int, seed: int, demonstrated: bool = False) -> np.ndarray:
        """As `Clips.order`."""
        return self.clips.order(step, batch, seed, demonstrated)

    def gather(
        self, windows: np.ndarray, at: np.ndarray | None = None, states: bool = False, done: bool = False
    ) -> Clip:
        """As `Clips.gather`, tensors on the device."""
        now = torch.as_tensor(windows).to(self.device)
        end = self.end[now][:, None]
        later = now[:, None] + torch.arange(self.spec.chunk_size, device=self.device)
        chunk, past = torch.minimum(later, end - 1), later >= end
        executed, off = self.executed[chunk], self.perturbed[chunk].long()
        valid = ~past if done else ~(past | (off.cumsum(1) - off > 0))
        future, future_valid, more = None, None, {}
        history = None if at is None else torch.as_tensor(at).to(self.device)
        if history is not None:
            wanted = now[:, None] + history
            inside = torch.minimum(wanted, end - 1)
            future, future_valid = self.frames[inside], wanted < end
            more = {STATE: self.state[inside]} if states else {}
        action = executed if done else self.action[chunk]
        return Clip(
            images=self.frames[now], state=self.state[now], task=self.task[now], action=action, executed=executed,
            valid=valid, future=future, at=history, future_valid=future_valid, more_future=more, windows=now,
        )  # fmt: skip

    def rows(self, windows: Tensor, frames: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Frames, states and executed actions of these windows' own steps."""
        seen = self.frames[windows] if frames else self.frames[:0]
        return seen, self.state[windows], self.executed[windows]

    def bounds(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """First and last window of the episodes that these windows belong to."""
        return self.first[windows], self.end[windows] - 1

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.device)
