"""``worldmodel data card``: whose data it is, how it was made and how healthy it is, in the store's own folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldmodel.config import option
from worldmodel.data import EpisodeStore
from worldmodel.data.card import CARD, QUESTIONS, README, UNSPECIFIED, answers, read_card
from worldmodel.data.describe import summary
from worldmodel.data.layout import StoreError
from worldmodel.files import write_file, write_json
from worldmodel.quality.health import check_store, report
from worldmodel.quality.leakage import frozen_for
from worldmodel.revision import revision
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
        write_json(store.path / CARD, record)
        write_file(store.path / README, markdown(record))
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
    """The card for people."""
    counts, collected = record["counts"], record["collected"]
    title = ", ".join(counts["tasks"])
    parts = [f"# {title}", "", f"Episode store, content `{record['fingerprint']}`.", "", "## Whose it is", ""]
    rows = [(name, _answer(name, answer)) for name, answer in record["answers"].items()]
    parts += _table([*rows, ("limits", record["declared"].get("limits") or UNSPECIFIED)])
    parts += ["", "## What is in it", ""]
    length = counts["length"]
    per_task = ", ".join(f"{name} ({count})" for name, count in counts["tasks"].items())
    parts += _table(
        [
            ("tasks", per_task),
            ("episodes", f"{counts['episodes']}, {counts['successes']} of them successful"),
            ("steps", f"{counts['steps']}; {length['least']} to {length['most']} an episode"),
            ("seeds", f"{counts['seeds'][0]} to {counts['seeds'][1]}, {counts['dropped_seeds']} tried and dropped"),
            ("cameras", ", ".join(record["cameras"]) or "none"),
            *((key, f"{entry['shape'][1:]} {entry['dtype']}") for key, entry in counts["arrays"].items()),
        ]
    )
    parts += ["", "## How it was collected", ""]
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in collected.items()}
    parts += _table([(key, f"`{value[:400]}`") for key, value in shown.items()] or [("collected", UNSPECIFIED)])
    parts += ["", "## Health", "", *_health(record["health"])]
    return "\n".join(parts) + "\n"


def _health(health: Mapping[str, Any]) -> list[str]:
    if not health:
        return ["Not checked yet: run `worldmodel data health`."]
    rows = [(f"{check['check']}: {check['verdict']}", check["seen"]) for check in health["checks"]]
    return [f"Verdict: **{health['verdict']}** (worldmodel {health['version']}).", "", *_table(rows)]


def _answer(name: str, answer: Mapping[str, Any]) -> str:
    return (
        f"**unknown**: {QUESTIONS[name]}?" if answer["by"] == UNSPECIFIED else f"{answer['value']} (by {answer['by']})"
    )


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    def cell(text: str) -> str:
        return " ".join(text.split()).replace("|", "\\|")

    return ["| | |", "| --- | --- |", *(f"| {cell(name)} | {cell(value)} |" for name, value in rows)]
