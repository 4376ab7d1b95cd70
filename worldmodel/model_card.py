"""What a checkpoint says of itself: found and read without loading its weights, or torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodel import legacy
from worldmodel.assets import asset
from worldmodel.damage import reading

WEIGHTS, CARD, FORMAT = "model.safetensors", "model.json", 1
SUM = "card_sha256"
KEYS = {"format", "config", "provenance", "made", "sha256", SUM, "train", "step"}
"""All that a card, or the record of a training state, may hold."""
LARGEST, AGAIN = 2**25, "copy it again or train again"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another kind. One line that says what to do."""


def resolve(name: str | Path) -> Path:
    """Folder of ``shipped``, a model folder, or a run's folder (its last EMA weights); CheckpointError for none."""
    if str(name) == "shipped":
        return asset("checkpoints/shipped")
    path = Path(name)
    for folder in (path, path / "model", path / ".model.old", path.with_name(f".{path.name}.old")):
        # the last two: a run that died between two renames keeps its earlier weights there
        if (folder / CARD).is_file():
            return folder
    kind = "no such folder" if not path.exists() else f"no {CARD} in it"
    raise CheckpointError(f"checkpoint {str(name)!r}: {kind}; give a run's folder, a model folder or 'shipped'")


def card(name: str | Path) -> dict[str, Any]:
    """The JSON card of a checkpoint: ``config``, ``provenance`` (under today's keys), ``sha256`` of the weights.

    Raises CheckpointError where it is damaged, or nothing that a checkpoint of ours would say.
    """
    folder = resolve(name)
    found = read_card(folder, CARD)
    with reading(f"checkpoint {folder}: {CARD}", CheckpointError, AGAIN):
        return _todays(found)


def read_card(folder: Path, name: str) -> dict[str, Any]:
    """The JSON record ``name`` beside the weights, as it was saved; CheckpointError where its own SHA-256 differs.

    Records of older versions have none (`SUM`), and are taken as they are.
    """
    what = f"checkpoint {folder}: {name}"
    if (folder / name).stat().st_size > LARGEST:
        raise CheckpointError(f"{what} has more than {LARGEST >> 20} MiB, so it is none of ours; {AGAIN}")
    try:
        record = json.loads((folder / name).read_bytes())
    except (ValueError, RecursionError):
        raise CheckpointError(f"{what} is not JSON; {AGAIN}") from None
    if name == CARD and isinstance(record, dict) and record.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {folder}: format {record.get('format')!r}, this version reads {FORMAT}")
    if not isinstance(record, dict) or (unknown := record.keys() - KEYS):
        found = sorted(unknown) if isinstance(record, dict) else type(record).__name__
        raise CheckpointError(f"{what} is damaged, or of a later version ({str(found)[:80]}); {AGAIN}")
    if SUM in record and record[SUM] != sum_of(record):
        raise CheckpointError(f"{what} is damaged (it does not match its own sha256); {AGAIN}")
    for key in ("config", "provenance", "made", "train"):
        if not isinstance(record.get(key, {}), dict):
            raise CheckpointError(f"{what} is damaged ({key} is no record); {AGAIN}")
    return record


def sum_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a card's content, but for the sum itself, whatever the order of its keys."""
    plain = {key: value for key, value in record.items() if key != SUM}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def provenance_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """What made the weights: ``made`` is an old name."""
    return dict(card.get("made") or card.get("provenance") or {})


def _todays(found: dict[str, Any]) -> dict[str, Any]:
    """A card with today's keys, and that of the checkpoint that its training began from: ``made`` is an old name."""
    record = provenance_of(found)
    found = {key: value for key, value in found.items() if key != "made"}
    if record.get("train"):
        record["train"] = legacy.saved("train", record["train"])
    if record.get("init"):
        record["init"] = _todays(dict(record["init"]))
    return found | {"provenance": record}


def trained_modes(name: str | Path) -> tuple[str, ...] | None:
    """The modes that a checkpoint's last training had a share for; None where its card does not say."""
    with reading(f"checkpoint {name}: {CARD}", CheckpointError, AGAIN):
        shares = dict((card(name)["provenance"].get("train") or {}).get("modes") or {})
    return tuple(mode for mode, share in shares.items() if share) if shares else None
