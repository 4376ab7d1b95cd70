"""A store's card: licence, source and consent, which people declare. Kept beside the sealed content.

``card.json`` lies in the store's folder and names the content that it describes by its fingerprint.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from worldmodel.data.layout import StoreError, digest
from worldmodel.files import write_json

CARD, README, SUM = "card.json", "README.md", "sha256"
QUESTIONS = {
    "licence": "under which licence may it be used (an SPDX name such as Apache-2.0 or CC-BY-4.0)",
    "source": "where it comes from: robot, place, recorder, or the dataset that it was converted from",
    "consent": "did the people that can be seen or heard, or who steered, agree to this use",
}
"""The fields that a person fills in, with the question to each."""
PERSON, PROVENANCE, UNSPECIFIED = "person", "provenance", "unspecified"
"""Where an answer comes from: a person's declaration in the card, the store's provenance, or nowhere yet."""
UNKNOWN = "unknown"  # As an answer, the same as none
ACTORS = {
    "expert": "scripted expert",
    "noisy": "scripted expert, perturbed, failures kept",
    "play": "scripted play and failures",
    "random": "random actions",
    "keys": "random driving with keys, failures kept",
    "retrace": "scripted expert, then its actions backwards and forwards again, failures kept",
    "mixed": "scripted play, scripted expert and random actions, failures kept",
}
"""Who acted in a simulation, by the ``behaviour`` of its recipe."""


def read_card(path: str | Path, fingerprint: str) -> dict[str, Any]:
    """The card in a store's folder; {} where there is none or it describes other content. StoreError if damaged."""
    file = Path(path) / CARD
    try:
        card = json.loads(file.read_text())
        if (card["format"] > 2 or SUM in card) and card[SUM] != digest({k: v for k, v in card.items() if k != SUM}):
            raise ValueError("another sha256")
        if card["fingerprint"] != fingerprint:
            return {}
        return {"declared": card.get("asked", {})} | card  # its name in format 1
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is damaged; remove it and write it again with `worldmodel data card`") from None


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``card.json``, with its own SHA-256 and that of the README beside it, for `worldmodel data verify`."""
    readme = {} if not (folder / README).is_file() else {"readme": sha256((folder / README).read_bytes()).hexdigest()}
    plain = json.loads(json.dumps({key: value for key, value in record.items() if key != SUM} | readme | {"format": 3}))
    write_json(folder / CARD, plain | {SUM: digest(plain)})


def declared(store: Any) -> dict[str, Any]:
    """What people declared in a store's card, by field. StoreError for a damaged card."""
    return dict(read_card(store.path, store.fingerprint).get("declared", {}))


def write_declared(declared: Mapping[str, Any], folder: str | Path, fingerprint: str) -> None:
    """Write declarations into a conversion's ``folder``, unless there are none or it has a card already."""
    if declared and not (Path(folder) / CARD).exists():
        write_card(Path(folder), {"format": 2, "fingerprint": fingerprint, "declared": dict(declared)})


def answers(declared: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each field its ``value`` (None where unspecified) and ``by``: person, provenance or unspecified."""
    recorded, found = _recorded(provenance), {}
    for name in QUESTIONS:
        person, program = _answer(declared.get(name)), _answer(recorded.get(name))
        by = PERSON if person else PROVENANCE if program else UNSPECIFIED
        found[name] = {"value": person or program, "by": by}
    return found


def updated(saved: Mapping[str, Mapping[str, Any]], provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Answers as an older version saved them: declarations stay, the provenance is read as it is today."""
    person = {name: one["value"] for name, one in saved.items() if PERSON in (one.get("by"), one.get("said"))}
    return answers(person, provenance)


def origin(store: Any) -> dict[str, Any]:
    """The record of a training store (anything with ``fingerprint`` and ``meta``) that checkpoints carry, as JSON:
    fingerprint, provenance and card. StoreError for a damaged card."""
    provenance = store.meta["provenance"]
    card = answers(declared(store) if hasattr(store, "path") else {}, provenance)
    return {"fingerprint": store.fingerprint, "provenance": provenance, "card": card}


def _recorded(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What the provenance answers. A simulation steered by a program has no person in it."""
    known = {name: str(provenance[name]) for name in QUESTIONS if _answer(provenance.get(name))}
    recipe = provenance.get("recipe")
    if isinstance(recipe, Mapping) and "tasks" in recipe and provenance.get("environment"):
        known.setdefault("source", f"simulation, {_actor(recipe)}: {', '.join(recipe['tasks'])} (worldmodel collect)")
        known.setdefault("consent", "not needed: simulated, no person was recorded")
    return known


def _actor(recipe: Mapping[str, Any]) -> str:
    """Who acted: by the behaviour, except in envs where ``expert`` names random actions or a checkpoint."""
    behaviour, expert = str(recipe.get("behaviour", "expert")), str(recipe.get("expert", "scripted"))
    if behaviour == "expert" and expert != "scripted":
        return ACTORS["random"] if expert == "random" else f"learned policy {expert}"
    return ACTORS.get(behaviour, f"behaviour {behaviour}")


def _answer(value: Any) -> str | None:
    """The text of an answer; None where it is none."""
    text = "" if value is None else str(value).strip()
    return None if text.lower() in ("", UNKNOWN) else text
