"""The command ``export``: a checkpoint as one file that acts without this package, with what its user must know."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import worldmodel
from worldmodel import model_card
from worldmodel.config import UserError, check_range, option
from worldmodel.files import atomic_file
from worldmodel.schema import ARM

if TYPE_CHECKING:
    from worldmodel.model import WorldModel

FACTS = "worldmodel"
"""Key of the facts, JSON, in an ONNX file's metadata; a PyTorch program holds them as the extra file of that name."""


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and where to."""

    out: str = option("file to write")
    checkpoint: str = option("shipped, or the folder of a checkpoint", "shipped")
    to: Literal["onnx", "torch"] = option("for ONNX Runtime, or a program of torch.export for one observation", "onnx")
    steps: int = option("sampling steps of a chunk", 2)

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 64))


def export(config: ExportConfig) -> int:
    """Write the file. UserError or CheckpointError, one line, where the model cannot be exported."""
    from worldmodel import checkpoint

    out, model = Path(config.out), checkpoint.load(config.checkpoint)
    if out.is_dir():
        raise UserError(f"out={out}: is a folder; name a file")
    known = json.dumps(facts(config, model))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out) as file:
        (_to_onnx if config.to == "onnx" else _to_torch)(model, config.steps, known, file)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, acts as {config.checkpoint} does with steps={config.steps}")
    return 0


def facts(config: ExportConfig, model: WorldModel) -> dict[str, Any]:
    """What goes in and comes out, and where the weights come from, as JSON."""
    from worldmodel.sims.can.tasks import TASKS

    card, shape = model_card.card(config.checkpoint), model.config
    numbered = [f"action.{number}" for number in range(shape.action_dim)]
    ours = set(shape.tasks) <= set(TASKS) and shape.action_dim == len(ARM[0])
    names, units = ARM if ours else (numbered, ["as trained"] * shape.action_dim)
    made = card["provenance"]
    lineage = {"checkpoint": Path(config.checkpoint).name, "weights": card["sha256"]}
    lineage |= {"data": [each.get("fingerprint") for each in made.get("data") or []]}
    return {
        "made_by": f"worldmodel {worldmodel.__version__}",
        **{key: getattr(shape, key) for key in ("cameras", "states", "state_dim", "tasks", "prefix", "words")},
        **({"instructions": model.instruction.usual.tolist()} if shape.words else {}),
        "image_size": [shape.size, shape.size],
        "action_names": names,
        "action_units": units,
        "rate": shape.control_hz,
        "horizon": shape.chunk_size,
        "steps": config.steps,
        "lineage": lineage | {key: made.get(key) for key in ("command", "steps", "code", "hardware")},
    }


def _to_onnx(model: WorldModel, steps: int, known: str, file: Path) -> None:
    from worldmodel.policies.fast import FastAct
    from worldmodel.policies.graph import ActGraph

    FastAct(model, steps)  # raises where the graph does not act as the model does
    file.write_bytes(ActGraph(model, steps).proto(**{FACTS: known}).SerializeToString())


def _to_torch(model: WorldModel, steps: int, known: str, file: Path) -> None:
    import torch
    from torch import Tensor

    from worldmodel.model import Given
    from worldmodel.policies.fast import example
    from worldmodel.policies.graph import unusual

    if why := unusual(model) or ("it reads sentences; use to=onnx" if model.config.words else ""):
        raise UserError(f"this model cannot be exported as a program: {why}")

    class Act(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor, state: Tensor, task: Tensor, noise: Tensor, *committed: Tensor) -> Tensor:
            given = Given(images, state, task)
            if committed:
                given = replace(given, prefix=committed[0][:, : model.config.prefix], committed=committed[1])
            return model.act(given, steps, noise)

    given, noise = example(model)
    inputs: tuple[Tensor, ...] = (given.images, given.state, given.task, noise)
    if model.config.prefix:
        inputs += (torch.zeros_like(noise), torch.zeros_like(given.task))
    with file.open("wb") as whole:  # a file object: a path would have to end in .pt2
        torch.export.save(torch.export.export(Act(), inputs), whole, extra_files={FACTS: known})
