"""Episodes of a policy in a world model instead of a simulator, behind the interface of the closed loop."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.config import UserError
from worldmodel.imagine.judge import Judge
from worldmodel.imagine.pose import load_pose_reader
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.processes import Reply
from worldmodel.schema import STATE, Arrays, image_key
from worldmodel.sims.base import InitialState, SimulatorSpec, StepResult
from worldmodel.sims.can.tasks import TASKS
from worldmodel.sims.make import make


class ImaginedSlots:
    """``slots`` episodes of one task side by side in a checkpoint's imagination, one pass a control step for all.

    The simulator gives each episode its first observation and nothing more; `Judge` says from the imagined frames what
    has succeeded. Serves `BatchedRollout` as a `Pool` of simulators does. Raises UserError for a task or model that
    cannot be imagined.
    """

    def __init__(self, world: str, simulator: SimulatorSpec, slots: int, steps: int = 2) -> None:
        if simulator.task not in TASKS or simulator.history or simulator.n_obs_steps > 1:
            raise UserError(
                f"`where=dream`: {simulator.task} cannot be judged from frames; expected one of {', '.join(TASKS)}"
            )
        model = checkpoint.load(world).eval().compute_in(fast_dtype("cpu"))
        shape = model.config
        seen, size = simulator.cameras or shape.cameras, simulator.size
        if not set(seen) <= set(shape.cameras) or size != shape.size:
            found = f"{', '.join(shape.cameras)} at {shape.size} pixels; the policy takes {', '.join(seen)} at {size}"
            raise UserError(f"world={world} imagines {found}; choose a policy with the same cameras")
        spec = SimulatorSpec(simulator.task, shape.cameras, size, simulator.perturb)
        self.slots, self.real, self.cameras, self.limit = slots, make(spec), shape.cameras, 0
        self.rollout = ImaginedRollout(model, slots, steps)
        self.judge = Judge(simulator.task, load_pose_reader(), slots, shape.control_hz)
        self.limit, self.rate = self.real.info.max_steps, shape.control_hz
        self.steps = np.zeros(slots, np.int64)
        self._waiting: dict[int, np.ndarray] = {}
        self._replies = deque[Reply]()
        first = self.real.info
        idle = torch.zeros(slots, len(self.cameras), first.size, first.size, 3, dtype=torch.uint8)
        self.rollout.begin(idle, torch.zeros(slots, first.state_dim))

    def ask(self, slot: int, method: str, *arguments: Any) -> None:
        """Calls of `Slot`: begin, advance (carried out for all slots together by `answers`), film, fingerprint."""
        if method == "advance":
            self._waiting[slot] = arguments[0]
        else:
            self._replies.append(
                Reply(slot, getattr(self, method)(*((slot,) if method != "fingerprint" else ()), *arguments))
            )

    def answers(self) -> Iterator[Reply]:
        """The replies to all calls since the last time."""
        if self._waiting:
            rows, self._waiting = self._waiting, {}
            self._replies.extend(self.advance(rows))
        while self._replies:
            yield self._replies.popleft()

    def one(self, slot: int, method: str, *arguments: Any) -> Reply:
        self.ask(slot, method, *arguments)
        return next(iter(list(self.answers())))

    def begin(self, slot: int, start: InitialState) -> StepResult:
        """Put the slot at what the simulator shows at a start."""
        self.real.reset(start)
        seen = self.real.observe()
        frames = torch.as_tensor(np.stack([seen[image_key(name)] for name in self.cameras]))
        self.rollout.begin(
            frames[None], torch.as_tensor(seen[STATE], dtype=torch.float32)[None], [slot], [max(start.seed, 0)]
        )
        self.judge.begin(slot, frames)
        self.steps[slot] = 0
        return StepResult(self._shown(slot), 0, False, False)

    def advance(self, actions: dict[int, np.ndarray]) -> list[Reply]:
        """Carry out every slot's actions, as many each, until its episode is over."""
        counts = {len(each) for each in actions.values()}
        assert len(counts) == 1, f"chunks of {counts} actions: all slots go on together"
        done, shown = np.zeros(self.slots, bool), dict[int, Arrays]()
        for t in range(counts.pop()):
            now = self.rollout.state.float().clone()  # slots with nothing to do stay where they are
            for slot, each in actions.items():
                now[slot] = torch.as_tensor(each[t], dtype=torch.float32)
            frames, _ = self.rollout.step(now)
            self.judge.update(frames)
            for slot in actions:
                if not done[slot]:
                    self.steps[slot] += 1
                    done[slot] = self.judge.success[slot] or self.steps[slot] >= self.limit
                    shown[slot] = self._shown(slot)
        return [Reply(slot, self._result(slot, bool(done[slot]), shown[slot])) for slot in actions]

    def film(self, slot: int, start: InitialState, actions: np.ndarray, path: str) -> StepResult:
        """Imagine an episode again, into an mp4 and a poster."""
        from worldmodel.report.video import write_replay  # here, because few evaluations film

        self.begin(slot, start)
        shots = [self._shown(slot)]
        for action in actions:
            self.advance({slot: action[None]})
            shots.append(self._shown(slot))
        write_replay(path, shots, self.cameras, self.rate)
        return StepResult(None, int(self.steps[slot]), True, bool(self.judge.success[slot]))

    def fingerprint(self) -> dict[str, Any]:
        """Of the simulator that the episodes began in."""
        return self.real.fingerprint()

    def close(self) -> None:
        self.real.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _result(self, slot: int, done: bool, shown: Arrays) -> StepResult:
        steps, success, stats = int(self.steps[slot]), bool(self.judge.success[slot]), self.judge.stats[slot]
        return StepResult(
            None if done else shown, steps, done, success, stats=stats.summary() if done and stats else {}
        )

    def _shown(self, slot: int) -> dict[str, np.ndarray]:
        frames, state = self.rollout.images[slot].numpy(), self.rollout.state[slot].float().numpy()
        return {image_key(name): frames[n].copy() for n, name in enumerate(self.cameras)} | {STATE: state.copy()}
