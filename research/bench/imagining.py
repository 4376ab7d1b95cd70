"""PSNR of frames imagined at every control step of the chunk, beside the copy-last-frame baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from worldmodel.data.clips import Clips
from worldmodel.imagine.image_metrics import CAP, psnr, squared
from worldmodel.imagine.modes import predict
from worldmodel.model import WorldModel

BATCH, STRIDE = 16, 8
"""Windows in one forward pass; control steps between them."""


@torch.no_grad()
def psnr_by_step(model: WorldModel, clips: Clips, episodes: int = 0, steps: int = 2) -> dict[str, Any]:
    """PSNR at every control step of the chunk, of frames imagined under the executed actions and of copying the last.

    Observations are `STRIDE` steps apart, in the first ``episodes`` (0: all), each with a whole chunk after it; squared
    errors are averaged over them first. ``above_copy_at_every_step``: imagined frames beat the last one seen each time.
    """
    begins = np.unique(clips.begin)[: episodes or None]
    whole = (clips.time + model.config.chunk_size < clips.end) & ((clips.time - clips.begin) % STRIDE == 0)
    windows = np.flatnonzero(whole & np.isin(clips.begin, begins))
    at, device = np.arange(1, model.config.chunk_size + 1), next(model.parameters()).device
    noise, errors = torch.Generator().manual_seed(0), np.zeros((2, len(at), len(model.config.cameras)))
    for first in range(0, len(windows), BATCH):
        some = windows[first : first + BATCH]
        clip = clips.gather(some, np.tile(at, (len(some), 1))).map(lambda array: torch.as_tensor(array).to(device))
        imagined = predict(model, clip, "forward", steps, noise).frames
        assert imagined is not None
        errors += [squared(g.cpu(), clip.future.cpu()).sum(0) for g in (imagined, clip.images[:, None])]
    by_camera = zip(model.config.cameras, np.moveaxis(errors / max(1, len(windows)), -1, 0), strict=True)
    return {
        **_curve(errors.mean(-1) / max(1, len(windows))),
        "cameras": {camera: _curve(error) for camera, error in by_camera},
        "moments": len(windows),
        "episodes": len(begins),
    }


def _curve(errors: np.ndarray) -> dict[str, Any]:
    """From squared errors (2, H) of imagined frames and of copies."""
    both = psnr(errors, CAP)
    rows = [
        {"steps_ahead": step, "imagined": imagined, "copy_last_frame": copied}
        for step, (imagined, copied) in enumerate(both.T.round(2).tolist(), 1)
    ]
    return {"psnr": rows, "above_copy_at_every_step": bool((both[0] > both[1]).all())}
