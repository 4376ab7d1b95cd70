"""Tokens: signals as rows of numbers that know when, where and how noisy they are."""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.tokens.actions import Actions
    from worldmodel.tokens.embedding import Scaling
    from worldmodel.tokens.frames import Frames
    from worldmodel.tokens.sequence import TokenSequence
    from worldmodel.tokens.task import Instruction, Proprioception

__all__ = ["Actions", "Frames", "Instruction", "Proprioception", "Scaling", "TokenSequence"]
__getattr__ = lazy.names(
    __name__, actions="Actions", embedding="Scaling", frames="Frames", sequence="TokenSequence",
    task="Instruction Proprioception",
)  # fmt: skip
