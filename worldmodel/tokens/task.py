"""What is always given, one token each: which of the known tasks is wanted, and the robot's own state."""

import difflib

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel.schema import Clip
from worldmodel.tokens.embedding import Scaling, embedding

SENTENCE = "instruction"
"""Key of an instruction's words in ``more`` (see `worldmodel.tokens.language`)."""


def index_of(task: str, tasks: tuple[str, ...]) -> int:
    """Index of a task's name among those that a model knows. Raises ValueError with the nearest known name."""
    if task not in tasks:
        near = difflib.get_close_matches(task, tasks, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"this model was trained for {', '.join(tasks)}, not for {task!r}.{hint}")
    return tasks.index(task)


class Instruction(nn.Module):
    """A learned vocabulary of task names, one token, always given."""

    def __init__(self, tasks: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.tasks = tasks
        self.embed = nn.Embedding(len(tasks), width)
        nn.init.normal_(self.embed.weight, std=0.5)

    def tokens(self, task: Int[Tensor, " B"]) -> Float[Tensor, "B 1 D"]:
        return self.embed(task)[:, None]

    def positions(self, device: torch.device) -> Float[Tensor, "1 3"]:
        return torch.zeros(1, 3, device=device)


class Proprioception(nn.Module):
    """The robot's own state (S numbers in physical units) as one token at the observation's time, always given."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.scaling = Scaling((dim,))
        self.embed = embedding(dim, width)

    def fit(self, clip: Clip) -> None:
        """Set the ranges from observed states."""
        self.scaling.fit(clip.state)

    def tokens(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 D"]:
        return self.embed(self.scaling.encode(state).to(next(self.parameters()).dtype))[:, None]

    def positions(self, device: torch.device) -> Float[Tensor, "1 3"]:
        return torch.zeros(1, 3, device=device)
