"""The command `policy convert`: from our model folders to LeRobot's pretrained folders and back."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodel import model_card
from worldmodel.config import UserError, option
from worldmodel.policies.lerobot_folder import check_folder
from worldmodel.schema import LEROBOT

PLUGIN = "lerobot_policy_worldmodel"
"""The distribution in ``plugins/`` that teaches LeRobot our policy; it does the work."""


@dataclass(frozen=True)
class ConvertPolicyConfig:
    """What to convert, and where to."""

    source: str = option("shipped, a model folder or a run of ours, or LeRobot's folder of a policy of type worldmodel")
    out: str = option("folder to write; must not exist yet")


def convert(config: ConvertPolicyConfig) -> int:
    """Convert in the direction that ``source`` implies. UserError or CheckpointError, one line, where it cannot be."""
    out = Path(config.out)
    if out.exists():
        raise UserError(f"out={out} already exists; choose another folder or remove it")
    theirs = lerobot_folder(config.source)
    if theirs is None:
        model_card.card(config.source)  # before LeRobot is loaded, which takes ten seconds
        plugin().to_lerobot(config.source, out)
        print(f"{out}: written; LeRobot takes it as --policy.path={out}")
    else:
        plugin().to_worldmodel(theirs, out)
        print(f"{out}: written; evaluate it with `worldmodel evaluate checkpoint={out} task=... out=...`")
    return 0


def lerobot_folder(source: str) -> Path | None:
    """LeRobot's folder of our policy, the last one of a training run; None where ``source`` is a checkpoint of ours.

    Raises UserError where it holds another policy, or a folder that was named as LeRobot's holds none.
    """
    named = source.removeprefix(LEROBOT)
    for folder in (Path(named), Path(named, "pretrained_model"), Path(named, "checkpoints/last/pretrained_model")):
        try:
            kind = json.loads((folder / "config.json").read_text()).get("type")
        except (OSError, ValueError, AttributeError):
            continue
        check_folder(folder)
        if kind != "worldmodel":
            raise UserError(f"{folder} holds a LeRobot policy of type {kind}; only worldmodel can become ours")
        return folder
    if named != source:
        raise UserError(f"{source}: no config.json in it; give a pretrained folder, or lerobot-train's output folder")
    return None


def plugin() -> Any:
    """The plugin's converter. UserError, one line, where it is not installed."""
    try:
        return importlib.import_module("lerobot_policy_worldmodel.convert")
    except ModuleNotFoundError as error:
        if error.name not in (PLUGIN, "lerobot"):
            raise
        advice = f"run `make setup`, or pip install plugins/{PLUGIN}"
        raise UserError(f"policy convert needs {error.name}: {advice}") from None
