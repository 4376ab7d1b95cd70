"""Image metrics: squared error over all pixels or those of a mask, PSNR, SSIM, LPIPS."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

type Distance = Callable[[Tensor, Tensor], Tensor]
"""Of two batches of frames uint8 (N, H, W, 3), one number per pair (N,)."""

ALEXNET = "alexnet-owt-7be5be79.pth"
"""The file in torch's cache that holds AlexNet's weights, which LPIPS compares features of."""

CAP = 138.0
"""Decibels at most where equal frames must give a number, as in plain JSON."""


def psnr(error: np.ndarray | np.floating | float, most: float = np.inf) -> np.ndarray:
    """PSNR in decibels, at most ``most``, of mean squared errors in grey levels: average over windows first."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(10 * np.log10(255.0**2 / np.asarray(error, np.float64)), most))


def squared(guess: Tensor, real: Tensor) -> np.ndarray:
    """Mean squared error over pixels and channels of frames uint8 (..., H, W, 3), float64 (...)."""
    return np.asarray((guess.float() - real.float()).square().mean((-3, -2, -1), dtype=torch.float64).numpy())


def squared_on(guess: Tensor, real: Tensor, mask: Tensor) -> np.ndarray:
    """Sum of squared errors (mean over channels) over the pixels of ``mask``, bool (..., H, W): float64 (...)."""
    error = (guess.float() - real.float()).square().mean(-1)
    return np.asarray((error * mask).sum((-2, -1), dtype=torch.float64).numpy())


def similarity(guess: Tensor, real: Tensor, piece: int = 256) -> np.ndarray:
    """SSIM (11-pixel Gaussian window, as first published) of frames uint8 (..., H, W, 3), float64 (...)."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim  # a second to import

    values = []
    for left, right in zip(_planes(guess).split(piece), _planes(real).split(piece), strict=True):
        values.append(ssim(left, right, data_range=1.0, reduction="none").reshape(-1))  # type: ignore[union-attr]
    return np.asarray(torch.cat(values).double().numpy()).reshape(guess.shape[:-3])


def perceptual(fetch: bool) -> Distance | str:
    """LPIPS on AlexNet, or one sentence that says why it cannot be had here."""
    out = "LPIPS was left out:"
    if not (Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET).is_file() and not fetch:
        return f"{out} AlexNet's pretrained weights are not on this machine ({ALEXNET}; fetch=true)."
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="none", normalize=True)
    except ImportError:
        return f"{out} it needs torchvision (`pip install torchvision`)."
    except Exception as error:  # noqa: BLE001  # no network, a damaged file: each fails in its own way
        return f"{out} AlexNet's pretrained weights cannot be had ({' '.join(str(error).split())[:120]})."
    net = metric.net.eval()

    @torch.no_grad()
    def distance(guess: Tensor, real: Tensor) -> Tensor:
        return torch.as_tensor(net(_planes(guess), _planes(real), normalize=True)).reshape(-1)

    return distance


def _planes(frames: Tensor) -> Tensor:
    """Frames uint8 (..., H, W, 3) as float32 (N, 3, H, W) in [0, 1]."""
    count = math.prod(frames.shape[:-3])
    return frames.reshape(count, *frames.shape[-3:]).movedim(-1, 1).float() / 255
