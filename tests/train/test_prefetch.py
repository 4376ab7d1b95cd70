"""Batches made ahead in threads are the same, in the same order, as those made when asked for."""

import threading

import pytest
import torch

from worldmodel.train.step import ahead_of, upcoming


@pytest.mark.parametrize("ahead", [0, 1, 3, 50])
def test_batches_come_in_order_and_none_is_missed(ahead: int) -> None:
    assert list(upcoming(lambda step: step * step, 7, 19, ahead)) == [step * step for step in range(7, 19)]


def test_some_are_in_the_making_before_they_are_asked_for() -> None:
    begun: list[int] = []
    three = threading.Event()

    def draw(step: int) -> int:
        begun.append(step)
        if len(begun) == 3:
            three.set()
        return step

    batches = upcoming(draw, 0, 10, 3)
    assert next(batches) == 0
    assert three.wait(10)
    batches.close()
    assert len(begun) < 10


def test_an_error_is_raised_when_its_turn_comes() -> None:
    def draw(step: int) -> int:
        if step == 2:
            raise OSError("disk full")
        return step

    batches = upcoming(draw, 0, 5, 4)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(OSError, match="disk full"):
        next(batches)


def test_a_gpu_has_batches_made_ahead_a_processor_does_not() -> None:
    assert ahead_of(torch.device("cuda")) > 0
    assert ahead_of(torch.device("cpu")) == 0
