"""Keys of ``worldmodel encode``, and the encoders that there are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from worldmodel.config import closest, option


@dataclass(frozen=True)
class Source:
    """Where an encoder comes from.

    model: timm's name of the network with its weights. patch: side of its patches in pixels. licence: of the weights.
    changes: arguments of the network that differ from timm's. random: weights drawn from a fixed seed, none fetched.
    """

    model: str
    patch: int
    licence: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    random: bool = False


DINO2, DINO3 = "Apache-2.0", "DINOv3 License"
TINY = {"embed_dim": 24, "depth": 2, "num_heads": 2}
ENCODERS: dict[str, Source] = {
    "dinov2_s": Source("vit_small_patch14_dinov2.lvd142m", 14, DINO2),
    "dinov2_b": Source("vit_base_patch14_dinov2.lvd142m", 14, DINO2),
    "dinov3_s": Source("vit_small_patch16_dinov3.lvd1689m", 16, DINO3),
    "dinov3_b": Source("vit_base_patch16_dinov3.lvd1689m", 16, DINO3),
    "tiny_random": Source("vit_small_patch14_dinov2.lvd142m", 14, "none: random", TINY, random=True),
    "tiny_random_dinov3": Source("vit_small_patch16_dinov3.lvd1689m", 16, "none: random", TINY, random=True),
}
"""What ``encoder=`` may name. The random ones are for tests and as a control: nothing learned, same code."""


@dataclass(frozen=True)
class EncodeConfig:
    """Whose frames, by which encoder, and where the features go."""

    data: str = option("whose frames are encoded: folder of an EpisodeStore, or lerobot:PATH_OR_REPO_ID")
    out: str = option("folder of the features; an interrupted one is resumed")
    encoder: str = option("dinov2_s, dinov2_b, dinov3_s, dinov3_b, or tiny_random (nothing learned)", "dinov2_s")
    weights: str | None = option("local .safetensors or .pth file with the encoder's weights; null fetches them", None)
    patch: int = option("side of the model's own patches in pixels, as in `worldmodel train`", 16)
    size: int = option("side of the frames, as in `worldmodel train`; 0 as recorded", 0)
    detail: int = option("encoder patches per patch of the model, along a side; their features are averaged", 2)
    batch: int = option("frames per pass", 64)
    device: str = option("auto, cpu or cuda", "auto")
    dtype: str = option("float32, or bfloat16 where that is much faster", "float32")

    def __post_init__(self) -> None:
        for name in ("patch", "detail", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder={self.encoder}: no such encoder; {closest(self.encoder, ENCODERS)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device={self.device}: expected auto, cpu or cuda")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype={self.dtype}: expected float32 or bfloat16")

    def command(self) -> str:
        """The command line that says the same, without what is left at its default."""
        defaults = {f.name: f.default for f in fields(self)}
        words = [f"{key}={value}" for key, value in asdict(self).items() if value != defaults[key]]
        return " ".join(["worldmodel encode", *map(shlex.quote, words)])
