"""One page's session: an imagined rollout and a simulator under the same actions, on a clock of its own."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from worldmodel.config import UserError
from worldmodel.play.compare import Stopwatch, measure, packet
from worldmodel.play.messages import Displayed, Drive, LetPolicy, Message, Pause, Record, Reset, StartPoint, Step
from worldmodel.play.outbox import Outbox
from worldmodel.play.recorder import ClipRecorder
from worldmodel.play.server import Server
from worldmodel.play.teleop import Teleop
from worldmodel.processes import Pool
from worldmodel.schema import CONTROL_HZ, Arrays

SILENT = 10.0
"""Seconds without a word of a page after which its clock is held."""
IDLE = 900.0
"""Seconds without a word after which its seat is given up."""


@dataclass
class Commands:
    """Requests of the page that are pending."""

    place: StartPoint | None = None
    steps: int = 0
    record: bool | None = None


@dataclass
class Both:
    """Simulator and imagined rollout at one time step."""

    real: Arrays
    imagined: Arrays
    success: bool = False
    milliseconds: dict[str, float] = field(default_factory=dict)


class Session:
    """Begins paused at ``place`` and runs until it is closed. All methods belong to the event loop's thread."""

    def __init__(self, server: Server, outbox: Outbox, place: StartPoint) -> None:
        self.server, self.outbox, self.place = server, outbox, place
        self.commands = Commands(place=place)
        self.teleop = Teleop()
        self.policy_on, self.observes, self.chunk = False, "imagined", deque[np.ndarray]()
        self.clock, self.tick, self.time = Stopwatch(), 0, 0
        self.paused = self.ready = True
        self.closed = False
        self.heard = time.monotonic()
        self.both: Both | None = None
        self.recorder: ClipRecorder | None = None
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "play")
        self.simulators: Pool = server.open_simulators()
        self.imagined_env: gymnasium.Env | None = None

    def hear(self, message: Message) -> None:
        """Take note of one message; `run` does what takes time."""
        self.heard = time.monotonic()
        match message:
            case Drive(move, grip):
                self._drive(move, grip)
            case Pause(on):
                self.paused, self.ready = on, False
            case Step():
                self.paused, self.ready = True, False
                self.commands.steps = min(4, self.commands.steps + 1)
            case Reset(place):
                self.commands.place = place
            case LetPolicy(on, observes):
                self._let_policy(on, observes)
            case Record(on):
                self.commands.record = on
            case Displayed(tick):
                self.outbox.seen(tick)
                return
        self._wake.set()
        if not isinstance(message, Drive):
            self.tell()

    async def run(self) -> None:
        """At most `CONTROL_HZ` steps a second until closed. UserError where the simulator cannot be kept running."""
        due = time.monotonic()
        while not self.closed:
            if self.commands.place is not None:
                await self._begin()
            elif self.commands.record is not None:
                await self._record(self.commands.record)
            elif self.both is not None and (self.commands.steps or not self.paused):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due + 1 / CONTROL_HZ, time.monotonic())
                if self.commands.steps or not self.paused:
                    await self._advance(self.both)
                self._listen_for_silence()
            else:
                await self._wait()
                due = time.monotonic()

    async def close(self) -> None:
        """End: finish a clip, free the simulator. Safe to call twice."""
        self.closed = True
        self._wake.set()
        if self.recorder is not None:
            await self._record(False)
        self.simulators.abandon()
        await self._in_thread(self.simulators.close)  # until it is gone: only then is the seat another's
        self._thread.shutdown(wait=False)

    def tell(self) -> None:
        self.outbox.say("status", **self.status())

    def status(self) -> dict[str, Any]:
        return {
            "paused": self.paused,
            "ready": self.ready,
            "policy": self.policy_on,
            "observes": self.observes,
            "grip": self.teleop.grip > 0,
            "recording": self.recorder.steps if self.recorder is not None else None,
            "place": str(self.place),
        }

    def notice(self, text: str, **values: Any) -> None:
        self.outbox.say("notice", text=text, **values)

    def _drive(self, move: tuple[float, float, float], grip: bool) -> None:
        moved = any(move) or grip != (self.teleop.grip > 0)
        self.policy_on = self.policy_on and not moved
        if not self.policy_on:
            self.teleop.drive(move, grip, time.monotonic())
        if moved and self.ready and self.both is not None:
            self.paused = self.ready = False
            self.tell()

    def _let_policy(self, on: bool, observes: str) -> None:
        if on and not self.server.imagination.drives:
            self.notice("this checkpoint was not trained to act (modes.policy=0): its policy cannot drive", bad=True)
            return
        if (on, observes) != (self.policy_on, self.observes):
            self.chunk.clear()
        self.policy_on, self.observes = on, observes
        if on and self.ready:
            self.paused = self.ready = False

    async def _begin(self) -> None:
        """Put both worlds at the place requested; where that fails everything stays as it was."""
        place, self.commands.place = self.commands.place, None
        assert place is not None
        try:
            start = self.server.places.find(place)
            result = (await self._in_thread(self.simulators.one, 0, "begin", start)).value
            if result is None:
                raise UserError("the simulator was lost and has been started again; reset once more")
            if result.observation is None:
                raise UserError(f"{place} does not fit: {result.refused}")
            if self.imagined_env is None:
                self.imagined_env = await self.server.on_model(self.server.imagination.env, self.server.task)
            begin = partial(self.imagined_env.reset, seed=start.seed, options={"observation": result.observation})
            await self.server.on_model(begin)
        except (UserError, ValueError) as error:
            if self.both is None:
                raise
            self.notice(str(error), bad=True)
            return
        self.place, self.time, self.paused, self.ready = place, 0, True, True
        self.teleop.place(result.observation)
        self.policy_on, self.clock, self.commands.steps = False, Stopwatch(), 0
        self.both = Both(result.observation, result.observation, result.success)
        await self._show(self.both)
        self.tell()

    async def _advance(self, both: Both) -> None:
        self.commands.steps = max(0, self.commands.steps - 1)
        if self.policy_on:
            if not self.chunk:
                seen = both.imagined if self.observes == "imagined" else both.real
                self.chunk.extend(await self.server.on_model(self.server.imagination.chunk, seen))
            action = self.chunk.popleft()
            self.teleop.follow(action)
        else:
            action = self.teleop.action(time.monotonic())
        assert self.imagined_env is not None
        (answer, real_ms), (imagined, imagined_ms) = await asyncio.gather(
            self.clock.timed(self._in_thread(self.simulators.one, 0, "advance", action[None], False)),
            self.clock.timed(self.server.on_model(self.imagined_env.step, action)),
        )
        if answer.value is None or answer.value.observation is None:
            self.notice(f"the simulator {answer.lost}; it was started again and put at {self.place}", bad=True)
            self.commands.place = self.place
            return
        self.time += 1
        self.clock.count()
        spent = {"real": real_ms, "imagined": imagined_ms}
        self.both = Both(answer.value.observation, imagined[0], answer.value.success, spent)
        await self._show(self.both)

    async def _show(self, both: Both) -> None:
        self.tick += 1
        cameras = self.server.imagination.loaded.cameras
        found = measure(both.real, both.imagined, cameras)
        seconds, rates = self.time / CONTROL_HZ, {"fps": self.clock.rate(), "milliseconds": both.milliseconds}
        header = {"type": "frame", "tick": self.tick, "time": seconds, "success": both.success}
        header |= {**rates, **found, **self.status()}
        if self.recorder is not None:  # before it is shown: a clip holds every frame that its page has seen
            driver = "policy" if self.policy_on else "person"
            text = f"{seconds:6.2f} s   gripper {found['gap']:.0f} mm apart   {driver} drives"
            await self._in_thread(self.recorder.add, both.real, both.imagined, text)
        self.outbox.show(self.tick, await self._in_thread(packet, header, both.real, both.imagined, cameras))
        if self.recorder is not None and self.recorder.full:
            await self._record(False)

    async def _record(self, on: bool) -> None:
        self.commands.record = None
        if on and self.recorder is None:
            self.recorder = self.server.open_clip()
        elif not on and self.recorder is not None:
            recorder, self.recorder = self.recorder, None
            try:
                if (path := await self._in_thread(recorder.close)) is None:
                    self.notice("nothing was recorded: no step was taken")
                else:
                    self.outbox.say("clip", name=path.name, seconds=recorder.steps / CONTROL_HZ)
            except OSError as error:
                self.notice(str(error), bad=True)
        self.tell()

    def _listen_for_silence(self) -> None:
        if not self.paused and time.monotonic() - self.heard > SILENT:
            self.paused = True
            self.notice(f"paused: the page sent nothing for {SILENT:g} s")
            self.tell()

    async def _wait(self) -> None:
        """Until a message comes. Raises UserError where none does for long."""
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), IDLE)
        except TimeoutError:
            raise UserError(f"closed: the page sent nothing for {IDLE / 60:g} minutes; reload it") from None

    async def _in_thread(self, call: Any, *arguments: Any) -> Any:
        """Wait for something slow while others go on; one call at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
