"""Policies for a served file: one that remembers, one that is slow, one that fails."""

import time

import numpy as np


class Counts:
    """Its actions are how often this very policy has acted since its reset."""

    chunk_size, size, cameras = 16, 32, ("scene",)

    def __init__(self) -> None:
        self.count = 0

    def reset(self) -> None:
        self.count = 0

    def act(self, observations: dict) -> np.ndarray:
        self.count += 1
        return np.full((1, 16, 4), self.count, np.float32)


class Slow(Counts):
    def act(self, observations: dict) -> np.ndarray:
        time.sleep(0.3)
        return super().act(observations)


class Fails(Counts):
    def act(self, observations: dict) -> np.ndarray:
        raise RuntimeError("a secret of the server")


class Diverges(Counts):
    def act(self, observations: dict) -> np.ndarray:
        return np.full((1, 16, 4), np.nan, np.float32)
