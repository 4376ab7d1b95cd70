"""Where can, gripper and bin are, read from frames: a small network that judges imagined frames by what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from worldmodel.assets import asset
from worldmodel.config import UserError

SCALE = 0.1
"""Metres by which positions are scaled, about the spread of each."""
CENTRE = ((0.5, -0.1, 0.1), (0.5, -0.05, 0.2), (0.5, 0.1))
"""Means of can, gripper and bin, metres."""
SHIPPED = "checkpoints/pose.safetensors"


@dataclass(frozen=True)
class Pose:
    """What frames show, metres in the world's frame: centre of the can, point between the fingertips, centre of the bin
    (x, y); ``held``: how sure it is that both pads touch the can, in [0, 1].
    """

    can: Float[Tensor, "*b 3"]
    gripper: Float[Tensor, "*b 3"]
    bin: Float[Tensor, "*b 2"]
    held: Float[Tensor, "*b"]


class PoseReader(nn.Module):
    """Five convolutions on each camera's frame, and two linear layers on all of them together.

    Trained by ``python -m research.pose`` on real and on imagined frames; its own error on real frames is in its card.
    """

    def __init__(self, cameras: int = 2, size: int = 96, width: int = 32) -> None:
        super().__init__()
        w, cells = width, (size // 16) ** 2
        layers: list[nn.Module] = []
        for inner, outer in ((3, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 2 * w)):
            layers += [nn.Conv2d(inner, outer, 3, 2, 1), nn.GroupNorm(8, outer), nn.SiLU()]
        self.look = nn.Sequential(*layers, nn.Conv2d(2 * w, w, 1), nn.SiLU())
        self.say = nn.Sequential(nn.Linear(cameras * w * cells, 4 * w), nn.SiLU(), nn.Linear(4 * w, 9))
        self.register_buffer("centre", torch.tensor([x for place in CENTRE for x in place]))

    def forward(self, frames: UInt8[Tensor, "B C H W 3"]) -> Float[Tensor, "B 9"]:
        """Positions of can, gripper and bin in `SCALE` from `CENTRE`, and the logit of ``held``."""
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
        out: Tensor = self.say(self.look(pixels).reshape(len(frames), -1))
        return out

    @torch.no_grad()
    def read(self, frames: UInt8[Tensor, "B C H W 3"]) -> Pose:
        """Poses of frames as the model that imagined them shows them: all cameras, in its order."""
        numbers = self(frames)
        can, gripper, place = (numbers[:, :8] * SCALE + self.centre).split((3, 3, 2), dim=1)
        return Pose(can, gripper, place, numbers[:, 8].sigmoid())


def reads(shape: Sequence[int]) -> bool:
    """Whether the shipped reader takes frames of this shape (B, C, H, W, 3): both cameras at 96 pixels."""
    return tuple(shape[1:]) == (2, 96, 96, 3)


def load_pose_reader(path: str | Path | None = None) -> PoseReader:
    """The reader whose weights lie in ``path``, by default the shipped one. UserError where there is none."""
    file = Path(path) if path else asset(SHIPPED)
    if not file.is_file():
        raise UserError(f"{file}: no weights of a pose reader; make them with `python -m research.pose out={file}`")
    reader = PoseReader()
    reader.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    return reader.eval()
