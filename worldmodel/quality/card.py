"""``worldmodel data card``: whose data it is, how it was made and how healthy it is, in the store's own folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worldmodel.assets import revision
from worldmodel.config import option
from worldmodel.data import EpisodeStore
from worldmodel.data.card import QUESTIONS, README, UNSPECIFIED, answers, read_card, write_card
from worldmodel.data.inspect import summary
from worldmodel.data.layout import StoreError
from worldmodel.files import write_file
from worldmodel.quality.health import check_store, report
from worldmodel.quality.leakage import frozen_for
from worldmodel.report import page
from worldmodel.schema import cameras_of


@dataclass(frozen=True)
class CardConfig:
    """Which store, and what only a person can declare about it; earlier declarations are kept."""

    store: str = option("folder of the store")
    licence: str | None = option(QUESTIONS["licence"], None)
    source: str | None = option(QUESTIONS["source"], None)
    consent: str | None = option(QUESTIONS["consent"], None)
    limits: str | None = option("what it should not be used for, and what is missing in it", None)
    health: bool = option("check the store again; false keeps the last findings", True)
    json: bool = option("print the card as one JSON record", False)


def card(config: CardConfig) -> int:
    """Write ``card.json`` and ``README.md`` into the store's folder and print what is still unknown."""
    store = EpisodeStore.open(config.store)
    before = read_card(store.path, store.fingerprint)
    record = compose(store, config, before)
    try:
        write_file(store.path / README, markdown(record))
        write_card(store.path, record)
    except OSError as error:
        raise StoreError(f"cannot write the card into {store.path}: {error.strerror or error}") from error
    if config.json:
        print(json.dumps(record, indent=1))
        return 0
    print(f"{store.path / README}: {record['health'].get('verdict', 'not checked')}, fingerprint {store.fingerprint}")
    for name, answer in record["answers"].items():
        advice = f"unknown: {QUESTIONS[name]}? Add {name}=..."
        print(f"{name}: " + (f"{answer['value']} (by {answer['by']})" if answer["value"] else advice))
    return 0


def compose(store: EpisodeStore, config: CardConfig, before: Mapping[str, Any]) -> dict[str, Any]:
    """The card as a JSON record: declarations, provenance, counts and health."""
    declared = dict(before.get("declared", {}))
    declared |= {name: value for name in (*QUESTIONS, "limits") if (value := getattr(config, name)) is not None}
    provenance = store.meta["provenance"]
    health = dict(before.get("health", {}))
    if config.health:
        health = report(store, check_store(store, frozen_for(store.tasks)))
    health.pop("store", None)
    facts = summary(store)
    kept = ("episodes", "successes", "steps", "hours", "length", "tasks", "seeds", "dropped_seeds", "arrays")
    return {
        "format": 2,
        "fingerprint": store.fingerprint,
        "declared": declared,
        "answers": answers(declared, provenance),
        "collected": {key: provenance[key] for key in provenance if key not in QUESTIONS},
        "counts": {key: facts[key] for key in kept},
        "cameras": list(cameras_of(dict.fromkeys(store.keys))),
        "health": health,
        "written_by": revision(),
    }


def markdown(record: Mapping[str, Any]) -> str:
    shown = {name: f"{answer['value']} (by {answer['by']})" for name, answer in record["answers"].items()}
    unknown = {name: f"**unknown**: {QUESTIONS[name]}?" for name, one in record["answers"].items() if not one["value"]}
    collected = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in record["collected"].items()
    }
    return page.render("card.md", record=record, answers=shown | unknown, collected=collected, unspecified=UNSPECIFIED)
