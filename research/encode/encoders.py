"""Frozen image encoders out of timm: which there are, and how one is loaded. timm is the extra `repa`."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from research.encode.config import ENCODERS, Source
from worldmodel.config import UserError, closest

RANDOM_SEED = 0


def load_network(name: str, size: int, weights: str | None = None) -> nn.Module:
    """A frozen network for square images of ``size`` pixels, its position embedding resampled to that size.

    Args:
        name: one of ``ENCODERS``.
        size: side of the images it will see; a multiple of its patch.
        weights: a local .safetensors or .pth file with the weights, instead of fetching them.

    Raises UserError (one line) for an unknown name, where timm is missing, or where weights cannot be had.
    """
    if name not in ENCODERS:
        raise UserError(f"encoder={name}: no such encoder; {closest(name, ENCODERS)}")
    source, timm = ENCODERS[name], _timm()
    if weights is not None and not Path(weights).is_file():
        raise UserError(f"weights={weights}: no such file; expected a .safetensors or .pth file for {source.model}")
    overlay = {"file": weights} if weights else None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            network: nn.Module = timm.create_model(
                source.model,
                pretrained=weights is not None or not source.random,
                num_classes=0,
                img_size=size,
                pretrained_cfg_overlay=overlay,
                **source.changes,
            )
    except Exception as error:  # hub, network, file format: many libraries' own errors, one meaning
        raise UserError(_unhad(name, source, weights, error)) from error
    return network.requires_grad_(False).eval()


def digest_of(network: nn.Module) -> str:
    """SHA-256 of a network's weights: names, shapes, number formats and values."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        sha.update(f"{name} {tuple(plain.shape)} {plain.dtype}\n".encode())
        sha.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise UserError(f"frozen encoders need timm ({error}): pip install 'worldmodel[repa]'") from error


def _unhad(name: str, source: Source, weights: str | None, error: Exception) -> str:
    """One line: what was tried, why it failed, what else there is."""
    why = f"{type(error).__name__}: {' '.join(str(error).split()).split('. ')[0][:160]}"
    if weights:
        return f"weights={weights} do not fit {source.model} ({why}); expected its weights as .safetensors or .pth"
    if source.random:
        return f"encoder={name}: timm cannot build {source.model} ({why})"
    offline = ", with HF_HUB_OFFLINE set" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
    return (
        f"encoder={name}: could not fetch the weights of {source.model} through timm{offline} ({why}); without a "
        f"network give weights=FILE (a local .safetensors or .pth), or encoder=tiny_random to try the path"
    )
