"""What a checkpoint says of itself: found and read without loading its weights, or torch."""

import json
from pathlib import Path
from typing import Any

from worldmodel import legacy
from worldmodel.assets import asset

WEIGHTS, CARD, FORMAT = "model.safetensors", "model.json", 1


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another kind. One line that says what to do."""


def resolve(name: str | Path) -> Path:
    """Folder of ``shipped``, a model folder, or a run's folder (its last EMA weights); CheckpointError for none."""
    if str(name) == "shipped":
        return asset("checkpoints/shipped")
    path = Path(name)
    for folder in (path, path / "model"):
        if (folder / CARD).is_file():
            return folder
    kind = "no such folder" if not path.exists() else f"no {CARD} in it"
    raise CheckpointError(f"checkpoint {str(name)!r}: {kind}; give a run's folder, a model folder or 'shipped'")


def card(name: str | Path) -> dict[str, Any]:
    """The JSON card of a checkpoint: ``config``, ``provenance`` (under today's keys), ``sha256`` of the weights."""
    folder = resolve(name)
    try:
        return _todays(dict(json.loads((folder / CARD).read_text())))
    except ValueError:
        raise CheckpointError(f"checkpoint {folder}: {CARD} is not JSON; copy it again or train again") from None


def _todays(found: dict[str, Any]) -> dict[str, Any]:
    """A card with today's keys, and that of the checkpoint that its training began from: ``made`` is an old name."""
    record = dict(found.pop("made", None) or found.get("provenance") or {})
    if record.get("train"):
        record["train"] = legacy.saved("train", record["train"])
    if record.get("init"):
        record["init"] = _todays(dict(record["init"]))
    return found | {"provenance": record}


def trained_modes(name: str | Path) -> tuple[str, ...] | None:
    """The modes that a checkpoint's last training had a share for; None where its card does not say."""
    shares = card(name)["provenance"].get("train", {}).get("modes", {})
    return tuple(mode for mode, share in shares.items() if share) if shares else None
