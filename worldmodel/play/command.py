"""The command ``play``: open a checkpoint, a port on this machine, and wait for a browser."""

import importlib.util
from dataclasses import dataclass
from functools import partial

from worldmodel.config import UserError, check_range, option
from worldmodel.devices import use_threads
from worldmodel.files import out_folder
from worldmodel.interrupt import StopSignal
from worldmodel.listen import LOCAL, bind, check_port
from worldmodel.sims.base import SimulatorSpec
from worldmodel.sims.make import check


@dataclass(frozen=True)
class PlayConfig:
    """What to play in, where the clips go, and on which port."""

    task: str = option("place_can, lift_can or place_can_anywhere", "place_can")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    data: str | None = option("folder of an EpisodeStore, to begin at its recorded frames; null for none", None)
    out: str = option("folder for recorded clips", "outputs/play")
    port: int = option("port on 127.0.0.1; 0 takes a free one", 8420)
    seats: int = option("how many pages may play at once; each has a simulator of its own", 4)
    steps: int = option("sampling steps per imagined frame, for checkpoints that stream", 2)
    n_action_steps: int = option("actions executed of each chunk before replanning", 8)
    device: str = option("where the model runs: cpu, cuda, or auto", "auto")
    threads: int = option("threads of the model on a CPU; 0 takes half of the cores", 0)

    def __post_init__(self) -> None:
        check_port(self.port)
        check_range(self, seats=(1, 64), steps=(1, 64))


def play(config: PlayConfig) -> int:
    """Serve until Ctrl-C, then finish what is being recorded. Raises UserError, one line, for what cannot be served."""
    need_server()
    check(SimulatorSpec(config.task))
    import uvicorn

    from worldmodel.play.app import build, settings
    from worldmodel.play.imagination import open_imagination
    from worldmodel.play.server import Server, StartPoints

    # First: the quickest thing that can go wrong. This machine alone: who reaches the page can move the arm
    with bind(config.port) as listener:
        use_threads(config.threads)
        options = (config.n_action_steps, config.steps, config.device)
        imagination = open_imagination(config.checkpoint, config.task, *options)
        places = StartPoints(config.task, config.data, imagination.loaded.cameras)
        out = out_folder(config.out)
        server = Server(imagination, places, out, config.seats)
        where = f"http://{LOCAL}:{listener.getsockname()[1]}/"
        what = f"{config.task}, checkpoint {config.checkpoint}, {imagination.kind} imagination; clips go to {out}"
        started = partial(print, f"worldmodel play: {where}\n  {what}\n  Ctrl-C ends it", flush=True)
        web = uvicorn.Server(settings(build(server, started)))
        with StopSignal() as stop:
            stop.then = web.handle_exit  # a Ctrl-C before the server listens for it
            if not stop.requested:
                web.run(sockets=[listener])
    print("\nworldmodel play: closed; clips are whole")
    return 0


def need_server() -> None:
    for name in ("starlette", "uvicorn", "websockets"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"play needs {name}: pip install 'worldmodel[play]', or run `make setup` in a checkout")
