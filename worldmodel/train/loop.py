"""The training loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from worldmodel.flow import ROLLOUT
from worldmodel.train.config import TrainConfig
from worldmodel.train.optimiser import average
from worldmodel.train.step import ahead_of, losses, upcoming


def train(config: TrainConfig) -> None:
    """Train a world model, or go on with one: the same command with the same ``out`` resumes exactly."""
    from worldmodel.train.observe import observers  # here: files, progress, plots and validation are a run's alone
    from worldmodel.train.setup import prepare

    run = prepare(config)
    learner, batches = run.learner, run.batches
    fast, plain = losses(learner.model, learner.ema, config)
    if learner.model.config.memory:
        from worldmodel.train.pool import RolloutPool

        rollouts = RolloutPool(fast if batches.device.type == "cuda" else plain, batches)
        if learner.rollouts:
            rollouts.restore(learner.rollouts)
    ahead = 0 if config.cache_on_device else ahead_of(batches.device)
    draws = upcoming(batches.draw, learner.step, config.steps, ahead)
    with closing(draws), observers(run, plain) as watching, interruptible() as asked_to_stop:
        while learner.step < config.steps:
            mode, clip, noise = next(draws)
            watching.before_step(clip)

            if mode == ROLLOUT and learner.model.config.memory:
                found = rollouts(clip, learner.step)
                learner.rollouts = rollouts.tensors()
            else:
                found = (fast if mode == "policy" else plain)(clip, mode, noise)
            found["loss"].backward()
            norm = learner.optimiser.update(learner.step)
            average(learner.ema, learner.model, learner.step, config.optimiser.ema)
            learner.step += 1

            run.log.add(mode, found, norm, len(clip.state))
            watching.after_step((mode, clip, noise))
            stopping = bool(asked_to_stop)  # once: what comes in later waits for the next step, and is saved there
            if learner.step % config.save_every == 0 or learner.step == config.steps or stopping:
                run.save()
                watching.after_save()
            if stopping:
                watching.end(stopped=True)
                raise KeyboardInterrupt
            watching.between_steps()
    watching.end(stopped=False)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first Ctrl-C fills, so that a step is never cut in half; the second one stops at once."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
