"""What only people know about a store: licence, source and consent. Kept beside the sealed content, which stays as is.

``card.json`` lies in the store's folder and names the content it speaks of by its fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodel.data.layout import StoreError
from worldmodel.files import write_json

CARD, README = "card.json", "README.md"
ASKED = {
    "licence": "under which licence may it be used (an SPDX name such as Apache-2.0 or CC-BY-4.0)",
    "source": "where it comes from: robot, place, recorder, or the dataset that it was converted from",
    "consent": "did the people that can be seen or heard, or who steered, agree to this use",
}
"""The fields that a person has to fill in, and the question to each."""
PERSON, PROVENANCE, NOBODY = "person", "provenance", "nobody"
"""Who said it: a person in the card, the record made while collecting, or nobody yet."""
UNKNOWN = "unknown"
"""Written where an answer should be, it is none."""
ACTORS = {
    "expert": "scripted expert",
    "noisy": "scripted expert pushed about, failures kept",
    "play": "scripted play and failures",
    "random": "random actions",
    "retrace": "scripted expert, then its actions backwards and forwards again, failures kept",
    "mixed": "scripted play, scripted expert and random actions, failures kept",
}
"""Who acted in a simulation, by the ``behaviour`` of its recipe."""


def read_card(path: str | Path, fingerprint: str) -> dict[str, Any]:
    """The card of a store's folder; {} where there is none, or where it speaks of other content.

    Raises StoreError for a card that cannot be read.
    """
    file = Path(path) / CARD
    try:
        card = json.loads(file.read_text())
        return dict(card) if card["fingerprint"] == fingerprint else {}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is damaged; remove it and write it again with `worldmodel data card`") from None


def pass_on(asked: Mapping[str, Any], to: str | Path, fingerprint: str) -> None:
    """Write what people said into a conversion's folder ``to``, of content ``fingerprint``.

    Nothing is written where nobody said anything, or where the folder has a card.
    """
    if asked and not (Path(to) / CARD).exists():
        card = {"format": 1, "fingerprint": fingerprint, "asked": dict(asked)}
        write_json(Path(to) / CARD, card)


def asked_of(store: Any) -> dict[str, Any]:
    """What people said in the card of a store, by field; {} where nobody did. StoreError for a damaged card."""
    return dict(read_card(store.path, store.fingerprint).get("asked", {}))


def answers(card: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each asked field its ``value`` (None where nobody said) and who ``said`` it."""
    told, known = card.get("asked", {}), _recorded(provenance)
    found: dict[str, dict[str, Any]] = {}
    for name in ASKED:
        person, program = _answer(told.get(name)), _answer(known.get(name))
        said = PERSON if person else PROVENANCE if program else NOBODY
        found[name] = {"value": person or program, "said": said}
    return found


def answered_again(kept: Mapping[str, Mapping[str, Any]], provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Answers that an older version kept: what people said in them stays, the provenance is read as it is today."""
    asked = {name: answer["value"] for name, answer in kept.items() if answer["said"] == PERSON}
    return answers({"asked": asked}, provenance)


def carried(path: str | Path | None, fingerprint: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of a store's card and provenance, as {licence: {value, said}, ...}."""
    return answers({} if path is None else read_card(path, fingerprint), provenance)


def origin(store: Any) -> dict[str, Any]:
    """What travels with every checkpoint trained on a store, or on any source with ``fingerprint`` and ``meta``:
    fingerprint, provenance and card, as JSON. Raises StoreError for a card that cannot be read."""
    provenance = store.meta["provenance"]
    card = carried(getattr(store, "path", None), store.fingerprint, provenance)
    return {"fingerprint": store.fingerprint, "provenance": provenance, "card": card}


def _recorded(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What the collecting program itself knew. A simulation steered by a program has no person in it."""
    known = {name: str(provenance[name]) for name in ASKED if _answer(provenance.get(name))}
    recipe = provenance.get("recipe")
    if isinstance(recipe, Mapping) and "tasks" in recipe and provenance.get("environment"):
        known.setdefault("source", f"simulation, {_actor(recipe)}: {', '.join(recipe['tasks'])} (worldmodel collect)")
        known.setdefault("consent", "not needed: simulated, no person was recorded")
    return known


def _actor(recipe: Mapping[str, Any]) -> str:
    """Who acted: what the behaviour says, but for envs where ``expert`` names random actions or a checkpoint."""
    behaviour, expert = str(recipe.get("behaviour", "expert")), str(recipe.get("expert", "scripted"))
    if behaviour == "expert" and expert != "scripted":
        return ACTORS["random"] if expert == "random" else f"learned policy {expert}"
    return ACTORS.get(behaviour, f"behaviour {behaviour}")


def _answer(value: Any) -> str | None:
    """The text of an answer; None where it is none."""
    text = "" if value is None else str(value).strip()
    return None if text.lower() in ("", UNKNOWN) else text
