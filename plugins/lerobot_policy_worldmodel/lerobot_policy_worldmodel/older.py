"""Pretrained folders of older versions, read with today's keys.

LeRobot reads ``config.json`` itself, and a class that decodes itself cannot be chosen on its command line. So its
reader is wrapped: it is handed a translated copy where a policy of type worldmodel has keys that are not today's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from lerobot.configs.policies import PreTrainedConfig

from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from worldmodel import legacy

CONFIG = "config.json"
_theirs = PreTrainedConfig.from_pretrained.__func__


def install() -> None:
    """Wrap LeRobot's reader of configs; once, however often it is called."""
    PreTrainedConfig.from_pretrained = classmethod(_from_pretrained)


def _from_pretrained(cls: Any, pretrained_name_or_path: Any, **options: Any) -> Any:
    file = Path(pretrained_name_or_path) / CONFIG
    raw = json.loads(file.read_text()) if file.is_file() else {}
    if raw.get("type") != "worldmodel" or (now := today(raw)) == raw:
        return _theirs(cls, pretrained_name_or_path, **options)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, CONFIG).write_text(json.dumps(now))
        return _theirs(cls, folder, **options)


def today(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A saved config of any version by today's names, and without keys that have gone."""
    sections = {name for name, kind in get_type_hints(WorldModelConfig).items() if is_dataclass(kind)} | {"stream"}
    shape = legacy.saved("model", raw.get("model", {}))
    training = legacy.saved("train", {name: raw[name] for name in raw if name in sections - {"model"}})
    found = _known(WorldModelConfig, {"model": shape} | training)
    return {name: value for name, value in raw.items() if name not in sections} | found


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of nested values those that a dataclass, and the dataclasses in it, have a field for."""
    hints = get_type_hints(kind)
    kept = {name: value for name, value in values.items() if name in hints}
    return {name: _known(hints[name], value) if is_dataclass(hints[name]) else value for name, value in kept.items()}
