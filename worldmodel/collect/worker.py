"""The inside of a spawned simulator process: seeds in, results out. Imports little, because it starts often."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from worldmodel.collect import spool
from worldmodel.collect.demonstrate import Recipe, Stage
from worldmodel.processes import end_with_parent


@dataclass(frozen=True)
class Job:
    """What every worker needs to know."""

    stage: Stage
    recipe: Recipe
    spool: Path
    timeout: float


def work(connection: Connection, job: Job) -> None:
    """Body of a worker process: seeds in, results out, episodes to the spool."""
    end_with_parent()
    seed: int | None = None
    try:
        stages = {task: job.stage(job.recipe, task) for task in job.recipe.tasks}
        connection.send(("ready", {task: stage.fingerprint() for task, stage in stages.items()}))
        while True:
            seed = int(connection.recv())
            episode = stages[job.recipe.task_of(seed)].demonstrate(seed)
            kept = episode.success or job.recipe.keeps_all
            if kept:
                spool.save(job.spool, episode)
            connection.send(("done", (seed, kept)))
    except EOFError:
        return
    except OSError as error:
        connection.send(("oserror", (error.errno, error.strerror or str(error), error.filename)))
    except Exception as error:  # noqa: BLE001  # whatever went wrong, the parent must hear of it
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        connection.send(("error", (seed, message, traceback.format_exc())))
