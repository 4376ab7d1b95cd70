"""What watches a run and changes nothing in it: progress, log, pictures, held-out losses, closed-loop validation."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from worldmodel.schema import Clip
from worldmodel.train.diagnostics import Batch, diagnose, saturation
from worldmodel.train.log import say
from worldmodel.train.plots import draw_batch, plot
from worldmodel.train.setup import Run
from worldmodel.train.step import Loss
from worldmodel.train.validate import closed_loop, held_out_loss


class Observers:
    """Called by `train` at four points of every step. plain: the loss, not compiled. progress: on the screen."""

    def __init__(self, run: Run, plain: Loss, progress: Progress) -> None:
        self.run, self.plain, self.progress = run, plain, progress
        self.learner, self.log = run.learner, run.log
        begun, note = run.learner.step, "compiling the first step" if run.config.compile else "first step"
        self.bar = progress.add_task("train", total=run.config.steps, completed=begun, note=note)

    def before_step(self, clip: Clip) -> None:
        """Draw the very first batch: what the model is really shown."""
        if self.learner.step == 0:
            draw_batch(clip, self.run.out / "first_batch.png", self.learner.model.config.cameras)

    def after_step(self, batch: Batch) -> None:
        """Move the bar, and write a line of the log where one is due. ValueError where a loss is no number any more."""
        config, step = self.run.config, self.learner.step
        self.progress.update(self.bar, completed=step)
        if step % config.log.every == 0:
            measured = diagnose(self.learner, self.plain, batch, config.objective)
            row = self.log.flush(step, {"rate": self.learner.optimiser.lr_scale(step)} | measured)
            for name, value in row.items():  # nothing after it is worth saving
                if not math.isfinite(value):
                    advice = f"training diverged; lower optimiser.lr ({self.run.out})"
                    raise ValueError(f"{name}={value} at step {step}: {advice}")
            if warning := saturation(self.log.rows, config.steps):
                say(warning)
            self.progress.update(self.bar, note=_note(row))
            if not self.progress.console.is_terminal:
                say(f"step {step} of {config.steps} · {_note(row)}")

    def after_save(self) -> None:
        """Note the held-out loss of the averaged weights, and draw the log."""
        if self.run.held_out is not None:
            found = held_out_loss(self.learner.ema, self.run.held_out, self.run.batches)
            self.log.write({"step": self.learner.step} | found)
        plot(self.log.rows, self.run.out / "metrics.png")

    def between_steps(self) -> None:
        """Validate in closed loop where that is due."""
        step, every = self.learner.step, self.run.validation.every
        if every and step % every == 0:
            self.log.write({"step": step} | closed_loop(self.run.out, step, self.run.validation))
            plot(self.log.rows, self.run.out / "metrics.png")

    def end(self, stopped: bool) -> None:
        """Say where everything is, or how a run that was stopped goes on."""
        out, step = self.run.out, self.learner.step
        whole = f"trained {step} steps; averaged weights in {out / 'model'}, log and plot in {out}/metrics.*"
        say(f"stopped after step {step}, saved; the same command goes on from there" if stopped else whole)


@contextmanager
def observers(run: Run, plain: Loss) -> Iterator[Observers]:
    """The observers of a run, with a bar of steps, time left, samples/s and losses while it lasts."""
    columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}")) as progress:
        yield Observers(run, plain, progress)


def _note(row: Mapping[str, float]) -> str:
    """Speed and the losses of the last interval, for the progress bar."""
    parts = [f"{name} {value:.4f}" for name, value in row.items() if name in ("policy/actions", "forward/frames")]
    return " · ".join([f"{row['samples_per_second']:.0f} samples/s", *parts])
