"""Names that have changed. Old ones keep working for one release, with one line on stderr that gives the new one.

`COMMANDS` maps old commands to new ones. `RENAMED` maps, for each command, old options to new ones: an option, a
section (``"stream": "rollout"``), or an option with one value (``"mode=stream": "mode=rollout"``); ``model``: of
checkpoints.
"""

import sys
from collections.abc import Mapping
from typing import Any

from worldmodel.config import leaves
from worldmodel.modalities import LISTED

COMMANDS: dict[str, str] = {}
NOISE = {"spread": "std", "high": "p_high", "pure": "p_max"}
RENAMED: dict[str, dict[str, str]] = {
    "train": {
        "objective.kind": "objective.name",
        "objective.plain": "objective.l1",
        "optimiser.rate": "optimiser.lr",
        "optimiser.muon_rate": "optimiser.muon_lr",
        "modes.stream": "modes.rollout",
        "noise.stream": "noise.rollout",
        "stream": "rollout",
        "stream.own": "rollout.p_self",
        "stream.lead": "rollout.burn_in",
        "stream.drift": "rollout.history_bias",
        "stream.fade": "rollout.history_mixup",
        "resident": "cache_in_memory",
    }
    | {f"noise.{name}.{old}": f"noise.{name}.{new}" for name in ("frames", "actions") for old, new in NOISE.items()}
    | {f"noise.{name}.{old}": f"noise.rollout.{new}" for name in ("stream", "rollout") for old, new in NOISE.items()},
    "imagine": {"mode=stream": "mode=rollout", "frames": "length", "real": "references"},
    "bench": {"parts=[arms]": "parts=[objectives]"},
    "data_view": {"moments": "frames"},
    "model": {"horizon": "chunk_size", "rate": "control_hz"},
    "evaluate": {"execute": "n_action_steps"},
    "demo": {"execute": "n_action_steps"},
    "play": {"execute": "n_action_steps"},
}
for name in LISTED:  # a modality's options once lay in three places
    now = f"modalities.{name}"
    RENAMED["model"] |= {name: now} | {f"{name}.noise.{old}": f"{now}.noise.{new}" for old, new in NOISE.items()}
    RENAMED["train"] |= {name: now, f"noise.{name}": f"{now}.noise", f"objective.{name}": f"{now}.weight"}
    RENAMED["train"] |= {f"noise.{name}.{old}": f"{now}.noise.{new}" for old, new in NOISE.items()}
    for command_name in ("model", "train"):
        RENAMED[command_name] |= {f"{now}.noise.{old}": f"{now}.noise.{new}" for old, new in NOISE.items()}
RENAMED["study"] = RENAMED["train"]

GONE: dict[str, dict[str, Any]] = {
    "model": {"warp": False},
    "train": {"warp": False, "objective.carried": 0.0, "objective.warp_l1": 0.0},
}
"""Options that are no more, and the value with which saved configs hold them that never used them."""

_announced: set[str] = set()


def command(name: str) -> str:
    """Today's name of a command; says so where it is another."""
    if name in COMMANDS:
        announce(f"`worldmodel {name}`", f"`worldmodel {COMMANDS[name]}`")
    return COMMANDS.get(name, name)


def renamed(command: str, name: str) -> str:
    """Today's name of a dotted key: by its own entry, else by that of the longest section that it is in."""
    table, parts = RENAMED.get(command, {}), name.split(".")
    for count in range(len(parts), 0, -1):
        if (new := table.get(".".join(parts[:count]))) is not None:
            return ".".join([new, *parts[count:]])
    return name


def override(command: str, text: str) -> str:
    """One ``key=value`` of a command line with today's names; says so where they are others."""
    old, equals, value = text.partition("=")
    new = RENAMED.get(command, {}).get(text) or renamed(command, old) + equals + value
    if new != text:
        announce(*((text, new) if new.partition("=")[2] != value else (old, new.partition("=")[0])))
    return new


def saved(command: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A config as an older version has saved it, nested, with today's keys. Keys that have gone stay as they are."""
    table = RENAMED.get(command, {})
    out: dict[str, Any] = {}
    gone = GONE.get(command, {})
    for old, value in leaves(values):
        if old in gone and value == gone[old]:
            continue
        new, kept = renamed(command, old), value
        if (whole := table.get(f"{old}={value}")) is not None:
            new, _, kept = whole.partition("=")
        *sections, last = new.split(".")
        inside = out
        for section in sections:
            if inside.get(section) is False:  # what is off has no options
                inside = {}
            elif not isinstance(inside.get(section), dict):
                inside[section] = {}
            inside = inside.get(section, inside)
        inside[last] = kept
    return out


def announce(old: str, new: str) -> None:
    """One line on stderr for each old name, once in a process."""
    if old not in _announced:
        _announced.add(old)
        print(f"worldmodel: {old} is now {new}; the old name works until the next release", file=sys.stderr)
