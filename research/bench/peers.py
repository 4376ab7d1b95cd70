"""LeRobot's ACT and Diffusion Policy, as they are published, beside ours: a chunk, a training step, and memory.

Each figure is measured in a process of its own, one after another, with the same threads: two cameras of 96 x 96.
LeRobot's policies get a batch that lies in memory; a step of ours loads and augments one, and averages the weights.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldmodel.config import UserError

PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ACT": ("act", {}),
    "Diffusion Policy": ("diffusion", {}),
    "Diffusion Policy, 16 steps ahead, DDIM 10": (
        "diffusion",
        {"horizon": 16, "n_action_steps": 8, "noise_scheduler_type": "DDIM", "num_inference_steps": 10},
    ),
}
"""Type and settings of each; the others are LeRobot's defaults."""
OURS = "worldmodel"
BATCH = 8
"""Samples in a training step of LeRobot's: its own default."""
SIDE, CAMERAS, STATE, ACTION = 96, ("scene", "wrist"), 4, 4
ROOT = Path(__file__).resolve().parents[2]


def compare_peers(store: Path, scratch: Path, checkpoint: str, threads: int, seconds: float) -> dict[str, Any]:
    """Figures of ours and of every peer, by name; ``why`` in place of a peer's where LeRobot is not installed."""
    job = {"threads": threads, "seconds": seconds, "checkpoint": checkpoint, "store": str(store)}
    found: dict[str, Any] = {}
    for name in (OURS, *PEERS):
        for what in ("act", "train"):
            one = _alone({**job, "name": name, "what": what, "out": str(scratch / "peers")})
            print(f"{name}, {what}: {json.dumps(one)}", flush=True)  # minutes each: not to be lost
            found[name] = found.get(name, {}) | one
    return {"threads": threads, "cameras": len(CAMERAS), "size": SIDE, "policies": found}


def _alone(job: dict[str, Any]) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": str(job["threads"]), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "research.bench.peers", json.dumps(job)]
    run = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if run.returncode:
        return {"why": (run.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    return dict(json.loads(run.stdout.splitlines()[-1]))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One figure, in this process. ``memory_mb``: the most that the process held."""
    import torch

    torch.set_num_threads(job["threads"])
    act = job["what"] == "act"
    if job["name"] == OURS:
        found = _our_act(job) if act else _our_training(job)
    else:
        policy, batch = _peer(*PEERS[job["name"]], rows=1 if act else BATCH)
        found = _peer_act(policy, batch, job["seconds"]) if act else _peer_training(policy, batch, job["seconds"])
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found | {f"{'act' if act else 'train'}_memory_mb": round(held)}


def _our_act(job: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from worldmodel.policies.load import PolicyOptions, load_policy
    from worldmodel.schema import image_key

    loaded = load_policy(job["checkpoint"], "place_can", PolicyOptions(8, device="cpu"))
    policy: Any = loaded.policy
    seen: dict[str, Any] = {image_key(camera): np.zeros((1, SIDE, SIDE, 3), np.uint8) for camera in CAMERAS}
    seen["observation.state"] = np.array([[0.5, 0.0, 0.2, 0.08]], np.float32)
    size = sum(parameter.numel() for parameter in policy.model.parameters())
    return {"parameters_m": round(size / 1e6, 1), "chunk": policy.chunk_size, "runtime": loaded.runtime} | _timed(
        lambda: policy.act(seen, np.zeros(1, np.int64)), job["seconds"]
    )


def _our_training(job: dict[str, Any]) -> dict[str, Any]:
    from itertools import count

    from research.bench.objectives import one_step, training_run

    number, batch = count(), 32
    run, loss = training_run("flow", Path(job["store"]), Path(job["out"]), batch)
    return _rate(_timed(lambda: one_step(run, loss, next(number), "policy"), job["seconds"]), batch)


def _rate(found: dict[str, Any], batch: int) -> dict[str, Any]:
    """Samples per second, and per second of a processor core."""
    wall, work = (round(1000 * batch / found[key], 2) for key in ("p50", "cpu_p50"))
    return {"batch": batch, "samples_per_second": wall, "samples_per_core_second": work}


def _peer(kind: str, settings: dict[str, Any], rows: int) -> tuple[Any, dict[str, Any]]:
    """A policy of LeRobot's with random weights, and a batch of numbers in the shapes that it is trained on."""
    import torch
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies import get_policy_class, make_policy_config

    keys = [f"observation.images.{camera}" for camera in CAMERAS]
    seen = {key: PolicyFeature(FeatureType.VISUAL, (3, SIDE, SIDE)) for key in keys}
    seen["observation.state"] = PolicyFeature(FeatureType.STATE, (STATE,))
    done = {"action": PolicyFeature(FeatureType.ACTION, (ACTION,))}
    shape: dict[str, Any] = {"input_features": seen, "output_features": done, "device": "cpu"}
    config: Any = make_policy_config(kind, **shape, **settings, pretrained_backbone_weights=None)
    torch.manual_seed(0)
    past = (config.n_obs_steps,) if config.n_obs_steps > 1 else ()
    length = len(config.action_delta_indices)
    batch = {key: torch.rand(rows, *past, *feature.shape) for key, feature in seen.items()}
    batch |= {"action": torch.rand(rows, length, ACTION), "action_is_pad": torch.zeros(rows, length, dtype=torch.bool)}
    return get_policy_class(kind)(config), batch


def _peer_act(policy: Any, batch: dict[str, Any], seconds: float) -> dict[str, Any]:
    import torch

    policy.eval()
    seen = {key: value for key, value in batch.items() if "action" not in key}
    size = sum(parameter.numel() for parameter in policy.parameters())
    with torch.inference_mode():
        chunk = policy.predict_action_chunk(seen).shape[1]
        return {"parameters_m": round(size / 1e6, 1), "chunk": chunk} | _timed(
            lambda: policy.predict_action_chunk(seen), seconds, warm=0
        )


def _peer_training(policy: Any, batch: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Forward, backward, gradient clipping and the policy's own AdamW."""
    import torch

    policy.train()
    preset = policy.config.get_optimizer_preset()
    optimiser = preset.build(policy.get_optim_params())

    def step() -> None:
        policy.forward(batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), preset.grad_clip_norm)
        optimiser.step()
        optimiser.zero_grad()

    return _rate(_timed(step, seconds, warm=1), BATCH)


def _timed(call: Callable[[], Any], seconds: float, warm: int = 10) -> dict[str, Any]:
    """Median wall and processor milliseconds of one call: at least 2, at most 200, as long as time is left."""
    for _ in range(warm):
        call()
    wall: list[float] = []
    work: list[float] = []
    while len(wall) < 2 or (sum(wall) < 1000 * seconds and len(wall) < 200):
        began, busy = time.perf_counter(), time.process_time()
        call()
        wall.append(1000 * (time.perf_counter() - began))
        work.append(1000 * (time.process_time() - busy))
    return {"p50": round(statistics.median(wall), 2), "cpu_p50": round(statistics.median(work), 2), "calls": len(wall)}


def peers_table(found: dict[str, Any]) -> str:
    """The figures in lines of columns, below one another."""
    head = f"{'':42}{'M weights':>10}{'chunk':>7}{'ms':>10}{'core ms':>10}{'MB':>7}"
    head, lines = head + f"{'samples/s':>11}{'/core s':>10}{'MB':>7}", []
    for name, one in found["policies"].items():
        if "why" in one:
            lines.append(f"{name:42} {one['why']}")
            continue
        row = f"{one['parameters_m']:10}{one['chunk']:7}{one['p50']:10.1f}{one['cpu_p50']:10.1f}"
        row += f"{one['act_memory_mb']:7}{one['samples_per_second']:11.1f}{one['samples_per_core_second']:10.1f}"
        row += f"{one['train_memory_mb']:7}"
        lines.append(f"{name:42}{row}")
    return "\n".join(["a chunk of actions, memory; training, memory", head, *lines])


if __name__ == "__main__":
    try:
        print(json.dumps(measure(json.loads(sys.argv[1]))))
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install 'worldmodel[lerobot]'") from None
    except UserError as error:
        raise SystemExit(str(error)) from None
