"""The commands ``data info`` and ``data verify``; what a store holds, as a JSON record and as a contact sheet."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worldmodel.config import UserError, option
from worldmodel.data.source import open_source
from worldmodel.data.store import EpisodeStore
from worldmodel.data.verification import verify as damage_of
from worldmodel.schema import ACTION, EXECUTED, LEROBOT, cameras_of, image_key

WAVEFORM, QUIET = 32, 1e-3
"""Numbers of one control step from which an array is a waveform, and the amplitude below which it is at rest."""
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
    if config.store.startswith(LEROBOT):
        reason = "LeRobot keeps no checksums to compare with"
        raise UserError(f"{config.store}: {reason}; `worldmodel data health {config.store}` checks its numbers")
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


def summary(store: EpisodeStore) -> dict[str, Any]:
    """Counts, sizes, ranges and provenance as a JSON record.

    rate: control steps a second. hours: of robot time. bytes: on disk. length: in control steps. actions: extremes
    and 1 and 99 % quantiles of the labels, per dimension. perturbed: share of steps whose executed action differs from
    the label (noise on every step aside). waveforms: rate in hertz, largest amplitude, share of steps not at rest.
    """
    lengths = np.diff(store.ends, prepend=0)
    record: dict[str, Any] = {
        "store": str(store.path),
        "episodes": store.episodes,
        "successes": int(store.success.sum()),
        "steps": store.steps,
        "rate": store.rate,
        "hours": store.steps / store.rate / 3600,
        "length": {"least": int(lengths.min()), "median": float(np.median(lengths)), "most": int(lengths.max())},
        "bytes": size_on_disk(store.path),
        "tasks": {name: int((store.task_index == i).sum()) for i, name in enumerate(store.tasks)},
        "seeds": [int(store.seeds.min()), int(store.seeds.max())],
        "dropped_seeds": len(store.meta["dropped_seeds"]),
        "arrays": {
            key: {"shape": [store.steps, *store.row(key)], "dtype": store.dtype(key).name} for key in store.keys
        },
        "fingerprint": store.fingerprint,
        "provenance": store.meta["provenance"],
    }
    if ACTION in store.keys:
        from worldmodel.data.clips import tolerance  # here, because it loads torch

        actions = store.array(ACTION)[:]
        quantiles = np.quantile(actions, [0, 0.01, 0.99, 1], axis=0).round(5).tolist()
        record["actions"] = dict(zip(("low", "q01", "q99", "high"), quantiles, strict=True))
        if EXECUTED in store.keys:
            off = np.abs(store.array(EXECUTED)[:] - actions)
            record["perturbed"] = float((off > tolerance(store)).any(axis=1).mean())
    record["waveforms"] = {}
    for key, entry in store.meta["arrays"].items():
        if entry["dtype"] == "float32" and len(entry["row"]) == 1 and entry["row"][0] >= WAVEFORM:
            loud = np.abs(store.array(key)[:]).max(axis=1)
            rest = {"peak": float(loud.max()), "active": float((loud > QUIET).mean())}
            record["waveforms"][key] = {"hertz": round(entry["row"][0] * store.rate)} | rest
    return record


def size_on_disk(path: Path) -> int:
    """Bytes that a folder's files occupy (holes are not counted)."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def contact_sheet(store: EpisodeStore, episodes: int = 6, columns: int = 10) -> Image.Image:
    """A picture with a row per camera of evenly chosen episodes and a column per evenly spaced step.

    Raises ValueError where the store has no images.
    """
    cameras = cameras_of(store.meta["arrays"])
    if not cameras:
        raise ValueError(f"{store.path} holds no images, so there is no contact sheet to draw")
    strips = []
    for episode in np.unique(np.linspace(0, store.episodes - 1, episodes).astype(int)):
        start, stop = store.span(int(episode))
        steps = np.linspace(start, stop - 1, columns).astype(int)
        frames = [np.concatenate(list(store.array(image_key(camera)).take(steps)), axis=1) for camera in cameras]
        title = Image.new("RGB", (frames[0].shape[1], 14), "white")
        task = store.tasks[store.task_index[episode]]
        text = f"episode {episode}  seed {store.seeds[episode]}  {task}  {stop - start} steps"
        ImageDraw.Draw(title).text((3, 1), text, fill="black")
        strips += [np.asarray(title), *frames]
    return Image.fromarray(np.concatenate(strips))
