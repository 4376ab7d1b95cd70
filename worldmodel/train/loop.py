"""The training loop."""

from contextlib import closing

from worldmodel.flow import ROLLOUT
from worldmodel.interrupt import StopSignal
from worldmodel.train.config import TrainConfig
from worldmodel.train.optimiser import average
from worldmodel.train.step import ahead_of, losses, upcoming


def train(config: TrainConfig) -> None:
    """Train a world model, or go on with one: the same command with the same ``out`` resumes exactly.

    The first Ctrl-C or SIGTERM saves after the present step and raises KeyboardInterrupt.
    """
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
    with closing(run.lock), closing(draws), observers(run, plain) as watching, StopSignal() as stop:
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
            stopping = stop.requested  # once: what comes in later waits for the next step, and is saved there
            if learner.step % config.save_every == 0 or learner.step == config.steps or stopping:
                run.save()
                watching.after_save()
            if stopping:
                watching.end(stopped=True)
                raise KeyboardInterrupt
            watching.between_steps()
    watching.end(stopped=False)
