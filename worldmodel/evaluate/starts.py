"""The command ``starts``: freeze start states, drawn from a task's own start distribution, into one file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from worldmodel.config import UserError, check_range, option
from worldmodel.evaluate.initial_states import Starts, StartsError
from worldmodel.sims.base import SEED, STATE, InitialState, Simulator, SimulatorSpec
from worldmodel.sims.make import check, make

FIRST_SEED = {STATE: 2**40, SEED: 2**31}
"""Start seeds lie from here on by kind (many envs take 32 bits, no more), those of ``collect`` below: no demonstration
begins where an evaluation does."""
SEEDS_PER_SET = 2**20
"""Room for one set's seeds, so that sets frozen from two values of ``seed`` share none."""
SEED_SETS = 2**11 - 1
"""How many sets of seeds of 32 bits there are."""

SPLIT_SEEDS = {"validation": 101, "test": 202}
"""Sets of starts that are drawn where none are shipped."""


@dataclass(frozen=True)
class StartsConfig:
    """How many starts of which task, drawn from which seed, and where to."""

    out: str = option("file to write, for example outputs/starts.npz")
    task: str = option("lift_can, place_can, place_can_anywhere, robosuite:PickPlaceCan or gym:ID", "place_can")
    episodes: int = option("how many starts to freeze", 200)
    seed: int = option("which set of starts; two seeds share no start", 7)
    overwrite: bool = option("replace a file that is there", False)

    def __post_init__(self) -> None:
        check_range(self, episodes=(1, SEEDS_PER_SET // 2), seed=(0, SEEDS_PER_SET - 1))


def starts(config: StartsConfig) -> int:
    """Freeze ``config.episodes`` starts into ``config.out``; those already solved are refused and drawn anew."""
    path = Path(config.out)
    if path.is_dir():
        raise UserError(f"out={config.out}: is a folder, expected a file; try out={path / 'starts.npz'}")
    if path.exists() and not config.overwrite:
        reason = "exists, and fixed initial states are not replaced"
        raise UserError(f"out={config.out}: {reason}; choose another or overwrite=true")
    spec = SimulatorSpec(config.task, ())
    if check(spec).starts == SEED and config.seed >= SEED_SETS:
        limit = f"expected 0 to {SEED_SETS - 1} for {config.task}"
        raise UserError(f"seed={config.seed}: {limit}, whose seeds have 32 bits")
    simulator = make(spec)
    try:
        frozen = freeze(simulator, config.episodes, config.seed)
    finally:
        simulator.close()
    frozen.save(path)
    print(f"{path}: {len(frozen)} starts of {frozen.task}, {frozen.states.shape[1]} numbers each")
    print(f"{frozen.refused} already solved and refused; seeds {frozen.seeds[0]} to {frozen.seeds[-1]}")
    print(f"sha256 {frozen.sha256}")
    return 0


def freeze(simulator: Simulator, episodes: int, seed: int) -> Starts:
    """``episodes`` unsolved starts of set ``seed``. StartsError where most are solved, or a seed has several."""
    task, kind = simulator.info.task, simulator.starts
    states, seeds, refused = list[np.ndarray](), list[int](), 0
    for index in track(range(episodes), "freezing starts", console=Console(stderr=True), transient=True):
        drawn = FIRST_SEED[kind] + seed * SEEDS_PER_SET + index + refused
        simulator.reset(InitialState(index, drawn))
        while simulator.solved:
            refused, drawn = refused + 1, drawn + 1
            if refused > 100 + index:
                raise StartsError(f"{refused} of {refused + index} starts of {task} are already solved")
            simulator.reset(InitialState(index, drawn))
        states.append(np.array(simulator.start_state(), np.float64))
        if kind == SEED:
            _check_seed(simulator, InitialState(index, drawn, states[-1]))
        seeds.append(drawn)
    made = simulator.fingerprint()
    kept = {key: made[key] for key in simulator.frozen_with or made}
    return Starts(task, np.stack(states), tuple(seeds), kept, refused, kind)


def _check_seed(simulator: Simulator, start: InitialState) -> None:
    """StartsError where a seed gives another start the second time."""
    try:
        simulator.reset(start)
    except ValueError:
        told = f"{simulator.info.task}: reset(seed={start.seed}) gives another start each time"
        raise StartsError(f"{told}, so it cannot be frozen") from None
