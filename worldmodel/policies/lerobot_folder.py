"""What is looked at in LeRobot's folder of a policy before LeRobot reads it: it may come from anyone.

LeRobot imports whatever class a processing step names and calls it with the step's own arguments, and some policies run
Python files of a model that their config names. So only steps and policies that do neither are let through.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldmodel.config import UserError, closest
from worldmodel.damage import reading
from worldmodel.schema import is_name

TYPES = ("act", "diffusion", "multi_task_dit", "pi0", "pi05", "smolvla", "tdmpc", "vqbet", "worldmodel")
"""Policies of LeRobot's, and ours, that run no code from elsewhere."""
STEPS = (
    "absolute_actions_processor", "device_processor", "normalizer_processor", "observation_processor",
    "pi05_prepare_state_tokenizer_processor_step", "pi0_new_line_processor", "relative_actions_processor",
    "rename_observations_processor", "smolvla_new_line_processor", "to_batch_processor", "to_batch_processor_action",
    "to_batch_processor_complementary_data", "to_batch_processor_observation", "tokenizer_processor",
    "unnormalizer_processor",
)  # fmt: skip
"""The steps that these policies are saved with, by LeRobot's registered names."""
CONFIG = "config.json"
PLACES = ("", "pretrained_model", "checkpoints/last/pretrained_model")
"""Where in a given folder the policy may be: there, in a checkpoint, or in the last one of a training run."""
LARGEST = 2**25  # bytes of a JSON file


def check_folder(folder: Path) -> str:
    """The policy's type. UserError, one line, where a file of the folder would make LeRobot run code, or is none."""
    kind = ""
    for file in sorted(folder.glob("*.json")):
        with reading(str(file), UserError, "get the policy again"):
            if file.stat().st_size > LARGEST:
                raise ValueError(f"more than {LARGEST >> 20} MiB")
            record = json.loads(file.read_bytes())
            for problem in _problems(file.name, record):
                raise UserError(f"{file}: {problem}; it is not read")
            kind = str(record["type"]) if file.name == CONFIG else kind
    return kind


def _problems(name: str, record: Any) -> Iterator[str]:
    if name == CONFIG and (kind := record["type"]) not in TYPES:
        yield f"a policy of type {str(kind)[:80]!r}; {closest(str(kind), TYPES)}"
    if any(value for key, value in _entries(record) if key in ("trust_remote_code", "auto_map")):
        yield "it wants to run code of its own (trust_remote_code)"
    if not name.startswith("policy_") and not (isinstance(record, dict) and isinstance(record.get("steps"), list)):
        return  # such as a training's config, whose steps are a number
    for step in record["steps"]:
        if "class" in step or step.get("registry_name") not in STEPS:
            yield f"its step {str(step.get('class', step.get('registry_name')))[:80]!r} is none that LeRobot's own use"
        if not is_name(step.get("state_file", "none")):
            yield f"its state_file {str(step['state_file'])[:80]!r} is no name of a file"


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested records with its value."""
    for key, inside in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield str(key), inside
        yield from _entries(inside)


def resolve(name: str) -> Path:
    """The folder of a pretrained policy: itself, a checkpoint's or a training run's. UserError, one line, if none."""
    for place in PLACES:
        if (folder := Path(name, place)).joinpath(CONFIG).is_file():
            return folder
    kind = f"no {CONFIG} in it" if Path(name).exists() else "no such folder"
    raise UserError(f"lerobot:{name}: {kind}; give a pretrained folder, or the output folder of lerobot-train")
