"""The commands ``data info`` and ``data verify``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worldmodel.config import option
from worldmodel.data.describe import contact_sheet, summary
from worldmodel.data.source import open_source
from worldmodel.data.store import EpisodeStore
from worldmodel.data.verification import verify as damage_of

DAMAGED = 1


@dataclass(frozen=True)
class InspectConfig:
    """Which store, and what to print."""

    store: str = option("folder of the store; data info also takes lerobot:FOLDER_OR_REPO_ID")
    json: bool = option("print one JSON record instead of tables", False)
    sheet: str | None = option("data info: also write a contact sheet (PNG) here", None)


def info(config: InspectConfig) -> int:
    """Print what a store holds and where it came from."""
    store = open_source(config.store)
    record = summary(store)
    if config.json:
        print(json.dumps(record, indent=2))
    else:
        console = Console()
        console.print(_facts(record), _arrays(record), *([_ranges(record)] if "actions" in record else []))
    if config.sheet is not None:
        Path(config.sheet).parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(store).save(config.sheet)
        print(f"contact sheet: {config.sheet}", file=sys.stderr)
    return 0


def verify(config: InspectConfig) -> int:
    """Read everything; exit code 1 and a line per damaged episode and array where bytes differ from the record."""
    damage = damage_of(config.store)
    store = EpisodeStore.open(config.store, check=False)
    if config.json:
        found = list(map(asdict, damage))
        print(json.dumps({"store": config.store, "intact": not damage, "episodes": store.episodes, "damage": found}))
    elif damage:
        episodes = {place.episode for place in damage if place.episode is not None}
        for place in damage:
            print(f"damaged: {place}")
        print(f"{config.store}: {len(episodes)} of {store.episodes} episodes damaged; restore them or collect again")
    else:
        print(f"{config.store}: intact, {store.episodes} episodes x {len(store.keys)} arrays, {store.fingerprint}")
    return DAMAGED if damage else 0


def _facts(record: dict[str, Any]) -> Table:
    length = record["length"]
    rows = {
        "store": record["store"],
        "tasks": ", ".join(f"{name} ({count})" for name, count in record["tasks"].items()),
        "episodes": f"{record['episodes']} ({record['successes']} successful, {record['dropped_seeds']} dropped)",
        "steps": f"{record['steps']} ({record['hours']:.2f} h at {record['rate']:g} Hz)",
        "length": f"{length['least']} to {length['most']} steps, median {length['median']:g}",
        "size": f"{record['bytes'] / 1e6:.1f} MB",
        "seeds": f"{record['seeds'][0]} to {record['seeds'][1]}",
        "fingerprint": record["fingerprint"],
    }
    if "perturbed" in record:
        rows["perturbed"] = f"{100 * record['perturbed']:.1f} % of steps"
    for key, wave in record["waveforms"].items():
        rows[key] = f"{wave['hertz']} Hz, active on {100 * wave['active']:.0f} % of steps, peak {wave['peak']:.2f}"
    told = record["provenance"].items()
    pairs = [*rows.items(), *((name, value if isinstance(value, str) else json.dumps(value)) for name, value in told)]
    table = Table(show_header=False, box=None)
    for name, value in pairs:
        table.add_row(name, escape(value), style="bold" if name == "store" else None)
    return table


def _arrays(record: dict[str, Any]) -> Table:
    table = Table("array", "shape", "dtype")
    for key, entry in record["arrays"].items():
        table.add_row(key, " x ".join(map(str, entry["shape"])), entry["dtype"])
    return table


def _ranges(record: dict[str, Any]) -> Table:
    table = Table("action", *(str(i) for i in range(len(record["actions"]["low"]))))
    for name, values in record["actions"].items():
        table.add_row(name, *(f"{value:.4f}" for value in values))
    return table
