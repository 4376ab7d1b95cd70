"""An instruction in words: the tasks' sentences, and one token per word from a learned vocabulary."""

import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel.assets import asset
from worldmodel.config import closest

TABLE = "envs/instructions.yaml"  # what people say when they want a task done: several sentences for each task
LENGTH = 16  # most words of a sentence; shorter ones are padded
BUCKETS = 32  # words outside the vocabulary share so many numbers, by a hash of their letters
FORGOTTEN = 0.1
"""Share of the words that training pretends not to know, so that the shared numbers mean "some word" to the model."""


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    content: Any = yaml.safe_load(asset(TABLE).read_text())
    return dict(content)


def sentences(task: str, held_out: bool = False) -> tuple[str, ...]:
    """Sentences that mean a task: those to train on, the usual one first, or those kept for tests.

    A task of several words is its own only sentence. Raises ValueError, with the nearest task, where there is none.
    """
    table = _table()
    if task not in table:
        if " " in task.strip():
            return (task,)
        raise ValueError(f"no sentence means task {task!r}; {closest(task, table)} Add some to {TABLE}")
    return tuple(table[task]["held_out" if held_out else "train"])


def words(sentence: str) -> list[str]:
    """A sentence's words, lower case, without punctuation."""
    return re.findall(r"[a-z0-9]+", sentence.lower())


def vocabulary(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """All words of the tasks' training sentences, sorted."""
    return tuple(sorted({word for task in tasks for sentence in sentences(task) for word in words(sentence)}))


class Language(nn.Module):
    """A sentence as `LENGTH` tokens, always given, at the observation's time; word 0 is padding.

    usual: one sentence for each of the ``tasks``, where none is given.
    """

    usual: Int[Tensor, "T L"]

    def __init__(self, vocabulary: Sequence[str], tasks: int, width: int) -> None:
        super().__init__()
        self.number = {word: 1 + i for i, word in enumerate(vocabulary)}
        self.embed = nn.Embedding(1 + len(vocabulary) + BUCKETS, width)
        self.register_buffer("usual", torch.zeros(tasks, LENGTH, dtype=torch.int64))
        self.slot = nn.Parameter(torch.randn(LENGTH, width) * 0.02)
        nn.init.normal_(self.embed.weight, std=0.5)

    def bucket(self, word: str) -> int:
        """Number of a word that the vocabulary does not have."""
        return 1 + len(self.number) + zlib.crc32(word.encode()) % BUCKETS

    def encode(self, sentence: str) -> Int[np.ndarray, " LENGTH"]:
        """A sentence's words as numbers, padded with zeros. Raises ValueError if there are none, or too many."""
        numbers = [self.number.get(word, self.bucket(word)) for word in words(sentence)]
        if not 1 <= len(numbers) <= LENGTH:
            expected = f"expected 1 to {LENGTH}; say it shorter"
            raise ValueError(f"instruction {sentence!r} has {len(numbers)} words, {expected}")
        return np.array(numbers + [0] * (LENGTH - len(numbers)), np.int64)

    def fit(self, tasks: Sequence[str]) -> None:
        """Remember the first training sentence of each task as its usual one; it is saved with the weights."""
        self.usual.copy_(torch.as_tensor(np.stack([self.encode(sentences(task)[0]) for task in tasks])))

    def tokens(self, numbers: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        return self.embed(numbers) + self.slot

    def positions(self, device: torch.device) -> Float[Tensor, "L 3"]:
        return torch.zeros(LENGTH, 3, device=device)


class Paraphrases:
    """The tasks' training sentences as numbers; draws one for every sample."""

    def __init__(self, language: Language, tasks: Sequence[str]) -> None:
        self.table = [np.stack([language.encode(sentence) for sentence in sentences(task)]) for task in tasks]
        known = sorted(language.number, key=language.number.__getitem__)
        self.forgotten = np.array([0, *map(language.bucket, known)])

    def draw(self, task: Int[np.ndarray, " B"], random: np.random.Generator) -> Int[np.ndarray, "B L"]:
        """A random sentence for each task's index, some of its words replaced by the number they would share."""
        picks, lost = random.random(len(task)), random.random((len(task), LENGTH)) < FORGOTTEN
        numbers = np.stack([self.table[t][int(p * len(self.table[t]))] for t, p in zip(task, picks, strict=True)])
        return np.where(lost, self.forgotten[numbers], numbers)
