"""The last act of writing a store: the per-episode arrays and the sealed attributes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.data import layout
from worldmodel.data.blocks import BlockWriter
from worldmodel.files import sync, write_file


def write_seal(path: Path, records: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write the episode index, then make the store final by replacing its group metadata in one step.

    Args:
        path: the store's folder, whose arrays are complete.
        records: one journal record per episode, in order.
        facts: "arrays" (the spec of each), "block", "provenance" and "dropped_seeds".
    """
    tasks = sorted({record["task"] for record in records})
    index: dict[str, np.ndarray] = {
        "ends": np.cumsum([record["length"] for record in records]),
        "seeds": np.array([record["seed"] for record in records]),
        "task_index": np.array([tasks.index(record["task"]) for record in records]),
        "success": np.array([record["success"] for record in records]),
        "checksums": np.array([record["checksums"] for record in records], np.uint64),
    }
    index = {name: index[name].astype(dtype) for name, dtype in layout.INDEX_DTYPES.items()}
    for name, values in index.items():
        folder = path / f"{layout.EPISODE}{name}"
        shutil.rmtree(folder, ignore_errors=True)
        writer = BlockWriter(folder, values.shape[1:], values.dtype, len(values))
        writer.append(values)
        writer.finish()
    infos = [record["info"] for record in records]
    attributes = {
        "format": layout.FORMAT,
        "sealed": True,
        "episodes": len(records),
        "steps": int(index["ends"][-1]),
        "tasks": tasks,
        "index": {name: f"{layout.checksum(values):016x}" for name, values in index.items()},
        "fingerprint": layout.fingerprint(facts["arrays"], tasks, index),
        "info": infos if any(infos) else [],
        **facts,
    }
    sync(path)
    write_group(path, {**attributes, "seal": layout.seal_of(attributes)})


def write_group(path: Path, attributes: Mapping[str, Any]) -> None:
    """Write the group's metadata atomically."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    write_file(path / layout.GROUP, json.dumps(group, indent=1))
