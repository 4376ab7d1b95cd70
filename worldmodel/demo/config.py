"""Keys of ``worldmodel demo``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worldmodel.config import option
from worldmodel.evaluate.config import EvaluateConfig


@dataclass(frozen=True)
class DemoConfig:
    """What to show and where the page goes."""

    episodes: int = option("how many episodes", 10)
    task: str = option("place_can or lift_can", "place_can")
    checkpoint: str = option("shipped, or the folder of a checkpoint", "shipped")
    out: str = option("folder of the page", "outputs/demo")
    seed: int = option("0 takes the first test starts, another number draws others; also seeds the policy", 0)
    n_action_steps: int = option("actions executed of each chunk before replanning", 8)
    steps: int | None = option("sampler steps per chunk; null takes the checkpoint's own", None)
    device: str = option("where the policy runs: cpu, cuda, or auto", "auto")
    threads: int = option("threads of the policy on a CPU; 0 takes half of the cores", 0)

    def evaluation(self) -> EvaluateConfig:
        """The same as an evaluation; raises ValueError for values out of range."""
        return EvaluateConfig(**asdict(self), starts="test", workers=1, batch=1)
