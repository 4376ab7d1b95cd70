"""Fréchet distance between real and imagined frames, in the features of a fixed random network: nothing to fetch.

Random features know nothing of objects, so the figure is no FID or FVD and compares only with others of this file. It
sees what pixel errors forgive and eyes do not: blur, missing contrast, colours that never occur.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

NET = "random 3-layer convolutional net, seed 0, 64 features a frame: means and deviations over the image"

SMALLEST = 32
"""Smaller frames are enlarged to this many pixels, below which three strided convolutions leave nothing."""


def network() -> nn.Module:
    """Three strided convolutions with random weights that are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 32, 3, 2))
        return nn.Sequential(*layers, nn.ReLU()).eval()


@torch.no_grad()
def features(net: nn.Module, frames: Tensor) -> np.ndarray:
    """Features float64 (..., 64) of frames uint8 (..., H, W, 3)."""
    flat = frames.reshape(math.prod(frames.shape[:-3]), *frames.shape[-3:])
    planes = flat.movedim(-1, 1).float() / 255 - 0.5
    if min(planes.shape[-2:]) < SMALLEST:
        planes = F.interpolate(planes, size=(SMALLEST, SMALLEST))
    maps = net(planes)
    both = torch.cat([maps.mean((2, 3)), maps.std((2, 3))], dim=1)
    return np.asarray(both.double().numpy()).reshape(*frames.shape[:-3], -1)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to features (n, D), as a multiple of the first one's variance.

    Covariances are shrunk towards a multiple of the identity (Ledoit and Wolf), without which a few hundred samples
    leave most of a 64-dimensional one to chance. Raises ValueError for fewer than two samples.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a covariance needs two samples, got {len(first)} and {len(second)}")
    scale = max(float(first.var(axis=0).sum()), 1e-12)
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    one, two = shrunk(first), shrunk(second)
    root = _root(one)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ two @ root), 0, None)).sum()
    return float(max(0.0, apart + np.trace(one) + np.trace(two) - 2 * cross) / scale)


def shrunk(samples: np.ndarray) -> np.ndarray:
    """Covariance (D, D) of samples (n, D), shrunk by Ledoit and Wolf's estimate of how much that helps."""
    count, width = samples.shape
    centred = samples - samples.mean(0)
    plain = centred.T @ centred / count
    target = np.trace(plain) / width * np.eye(width)
    off = ((plain - target) ** 2).sum()
    # mean over samples of |x x^T - S|^2, without making n matrices
    spread = ((centred**2).sum(1) ** 2).mean() - (plain**2).sum()
    share = 0.0 if off <= 0 else float(np.clip(spread / count / off, 0, 1))
    return np.asarray((1 - share) * plain + share * target)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
