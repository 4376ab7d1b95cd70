"""Keys of ``worldmodel evaluate``."""

from dataclasses import dataclass

from worldmodel.config import check_range, known, option


@dataclass(frozen=True)
class EvaluateConfig:
    """Which checkpoint, on which starts, how, and where the report goes."""

    out: str = option("folder of the report; an interrupted evaluation is resumed")
    checkpoint: str = option("shipped, a checkpoint's folder, lerobot:FOLDER, or python:FILE.py:NAME", "shipped")
    task: str = option("lift_can, place_can, place_can_anywhere, gym:ID, metaworld:ID or robosuite:ID", "place_can")
    episodes: int = option("how many of the starts, from the first on", 200)
    starts: str = option("validation, test, or a file of `worldmodel starts`", "validation")
    perturb: str = option("change of the scene: none, light, camera, camera_far, colour, distractor or clutter", "none")
    where: str = option("simulator, or `dream`: in the imagination of the checkpoint `world`", "simulator")
    world: str = option("the checkpoint that imagines, with `where=dream`", "shipped")
    workers: int = option("simulator processes", 2)
    batch: int = option("simulators in all, hence observations to a policy call", 16)
    videos: int = option("episodes to film, failures first", 12)
    n_action_steps: int = option("actions executed of each chunk before replanning", 8)
    delay: int = option("control steps from an observation until its chunk is there (inference latency)", 0)
    steps: int | None = option("sampler steps per chunk; null takes the checkpoint's own", None)
    seed: int = option("seed of the sampler's noise", 0)
    size: int | None = option("edge of the camera images in pixels; null takes the checkpoint's own", None)
    device: str = option("where the policy runs: cpu, cuda, or auto", "auto")
    threads: int = option("threads of the policy on a CPU; 0 takes half of the cores", 0)
    instruction: str | None = option("the sentence for a checkpoint that reads them; null takes the task's own", None)
    against: str | None = option("folder of another evaluation on the same starts, for a paired comparison", None)
    timeout: float = option("seconds after which a silent simulator is replaced", 60.0)

    def __post_init__(self) -> None:
        check_range(self, episodes=(1, 10**6), workers=(1, 256), batch=(1, 256), videos=(0, 10**6))
        check_range(self, n_action_steps=(1, 1024), delay=(0, 1024), seed=(0, 2**62), threads=(0, 256))
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise ValueError(f"steps={self.steps}: expected 1 to 1000 sampler steps, or null")
        known("where", self.where, ("simulator", "dream"))
        if not 1 <= self.timeout <= 1e6:
            raise ValueError(f"timeout={self.timeout}: expected seconds, from 1 on")
