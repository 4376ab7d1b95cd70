"""What a store looks like on disk, in one place: names, Zarr metadata, checksums and the ways it can be unfit.

    DIR/zarr.json                          Zarr 3 group; attributes hold the provenance and, last of all, the seal
    DIR/<key>/zarr.json, <key>/c/<b>/0...  one array per key over concatenated time, block b = steps [b*N, (b+1)*N)
    DIR/episode.<name>/...                 one entry per episode: ends, seeds, task_index, success, checksums
    DIR/lerobot/                           LeRobot's description of converted data, hashed
    DIR/unsealed/                          only while collecting: journal, lock, episodes that wait for their turn

Blocks are stored without a codec, so a block file *is* the C-order array (the last one padded with zeros).
"""

import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.damage import reading
from worldmodel.schema import is_name

FORMAT = 1
BLOCK_STEPS = 1024  # Time steps per block file: 28 MB for a 96 px camera, 16 KB for an action

GROUP = "zarr.json"
KEPT, SUMS = "lerobot", "checksums.json"
"""What was kept of a LeRobot data set for the way back, and the file in it with the others' SHA-256."""
UNSEALED = "unsealed"
JOURNAL = f"{UNSEALED}/journal.jsonl"
LOCK = f"{UNSEALED}/lock"
SPOOL = f"{UNSEALED}/waiting"

RESERVED = (GROUP, KEPT, UNSEALED, "card.json", "README.md")
"""What else may lie in a store's folder."""

EPISODE, FEATURES = "episode.", "features."
INDEX_DTYPES = {"ends": "int64", "seeds": "int64", "task_index": "int32", "success": "bool", "checksums": "uint64"}
"""Per-episode arrays; all are (episodes,) but checksums, which is (episodes, keys)."""


class StoreError(ValueError):
    """A store that cannot be used; the message is one line with what to do."""


class InterruptedStoreError(StoreError):
    """The store was never sealed: its writer stopped early or is still running."""


class DamagedStoreError(StoreError):
    """The bytes are not those that were sealed."""


def check_arrays(spec: Any, path: Path) -> dict[str, dict[str, Any]]:
    """``spec``, the row and dtype of every array by its name; StoreError where one cannot lie in a store.

    Called where a store is written, opened and resumed: what is read may come from anyone.
    """
    for key, entry in dict(spec).items():
        if not is_name(key) or key in RESERVED or key.startswith(EPISODE):
            raise StoreError(f"{path}: array name {str(key)[:80]!r} is reserved or no name of a file; choose another")
        row = entry["row"]
        if not all(type(size) is int and 0 <= size < 2**31 for size in row) or len(row) > 8:
            raise StoreError(f"{path}: array {key} has rows of shape {str(row)[:80]}; expected sizes from 0")
        if np.dtype(entry["dtype"]).kind not in "bfiuc" or np.dtype(entry["dtype"]).fields:
            raise StoreError(f"{path}: array {key} has dtype {entry['dtype']}; expected numbers")
    return dict(spec)


def feature_key(camera: str) -> str:
    """Key of a frozen encoder's features of one camera's frames, for example ``features.wrist``."""
    return FEATURES + camera


def checksum(array: np.ndarray) -> int:
    """64-bit content hash (blake2b) of one episode's slice of one array: unsigned, independent of blocks."""
    data = np.ascontiguousarray(array)
    return int.from_bytes(hashlib.blake2b(data.view(np.uint8).reshape(-1), digest_size=8).digest(), "little")


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON record, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def array_metadata(shape: tuple[int, ...], dtype: np.dtype, block: int, axes: tuple[str, ...]) -> dict[str, Any]:
    """Zarr 3 metadata of an uncompressed array in blocks of ``block`` along its first axis."""
    codec = {"name": "bytes"} | ({"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {})
    fill: Any = False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [block, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [codec],
        "dimension_names": list(axes),
        "attributes": {},
    }


def array_json(shape: tuple[int, ...], dtype: np.dtype, block: int, key: str) -> bytes:
    """The array's metadata file, byte for byte, with names of its axes for other readers."""
    axes: tuple[str, ...] = ("time", *(f"axis_{i}" for i in range(1, len(shape))))
    if key.startswith(EPISODE):
        axes = ("episode", "key")[: len(shape)]
    elif len(shape) == 4:
        axes = ("time", "row", "column", "channel")
    return json.dumps(array_metadata(shape, dtype, block, axes), indent=1).encode()


def block_path(array: Path, block: int, ndim: int) -> Path:
    """File of one block of an array with ``ndim`` axes."""
    return array.joinpath("c", str(block), *["0"] * (ndim - 1))


def seal_of(attributes: Mapping[str, Any]) -> str:
    """Hash over every attribute but the seal itself."""
    return digest({name: value for name, value in attributes.items() if name != "seal"})


def fingerprint(spec: Mapping[str, Any], tasks: Sequence[str], index: Mapping[str, np.ndarray]) -> str:
    """SHA-256 that names the content: equal for equal episodes in equal order, whenever and however collected."""
    plain = {name: values.tolist() for name, values in index.items()}
    return digest({"spec": spec, "tasks": list(tasks), "index": plain})


def read_attributes(path: Path) -> dict[str, Any]:
    """Attributes of a sealed store.

    Raises FileNotFoundError (nothing there), InterruptedStoreError (not sealed), DamagedStoreError (unreadable or
    altered metadata) or StoreError (not ours).
    """
    if not path.exists():
        raise FileNotFoundError(f"no store at {path}; make one with `worldmodel collect task=place_can out={path}`")
    try:
        group = json.loads((path / GROUP).read_bytes())
        attributes = group["attributes"]
        if group["zarr_format"] != 3 or group["node_type"] != "group":
            raise ValueError("not a Zarr 3 group")
        sealed, format_ = attributes["sealed"], attributes["format"]
    except (FileNotFoundError, NotADirectoryError):
        if (path / UNSEALED).exists():
            raise InterruptedStoreError(interrupted_message(path)) from None
        hint = f"; it looks like LeRobot's: say lerobot:{path}" if (path / "meta" / "info.json").exists() else ""
        raise StoreError(f"{path} is not an episode store (no {GROUP} in it){hint}") from None
    except (ValueError, KeyError, TypeError):
        problem = f"{path}/{GROUP} is damaged or not an episode store; restore or collect again"
        raise DamagedStoreError(problem) from None
    if sealed is not True and (path / UNSEALED).exists():
        raise InterruptedStoreError(interrupted_message(path))
    if attributes.get("seal") != seal_of(attributes):
        raise DamagedStoreError(f"{path}/{GROUP} is damaged (seal does not match); restore it or collect again")
    if format_ != FORMAT:
        raise StoreError(f"{path} has store format {format_!r}, this version reads format {FORMAT}; collect it again")
    with reading(f"{path}/{GROUP}", StoreError, "get the store again"):
        check_arrays(attributes["arrays"], path)
        counts = [attributes[name] for name in ("episodes", "steps", "block")]
        if not all(type(count) is int and count > 0 for count in counts):
            raise ValueError(f"episodes, steps, block: {counts}")
        dict(attributes["provenance"]), dict(attributes["index"]), list(map(dict, attributes["info"] or []))
        if attributes["info"] and len(attributes["info"]) != attributes["episodes"]:
            raise ValueError("as many infos as episodes are expected")
    return attributes


def interrupted_message(path: Path) -> str:
    """One line about an unsealed store: how far it got and how to go on."""
    done, total, command = 0, "?", "the same `worldmodel collect` command"
    try:
        with open(path / JOURNAL, encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                if "header" in record:
                    provenance = record["header"]["provenance"]
                    total = provenance.get("recipe", {}).get("episodes", "?")
                    command = f"`{provenance['command']}`" if provenance.get("command") else command
                    if made := provenance.get("converted"):
                        command = f"`worldmodel data convert {made['source']} out={path}`"
                done += "episode" in record
    except (OSError, ValueError, KeyError, AttributeError):
        pass  # a half-written journal line is what an interruption looks like
    return f"{path} was interrupted or is still being written ({done} of {total} episodes); resume it with {command}"


def explained(error: OSError, path: Path) -> OSError:
    """The same error with one line that says what happened to the episodes."""
    if " while writing " in str(error):
        return error
    what = "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    line = OSError(f"{what} while writing {path}; finished episodes are kept: make room and run the same command again")
    line.errno = error.errno
    return line


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` by its relative path, but of `SUMS` itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
