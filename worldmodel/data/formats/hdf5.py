"""robomimic's HDF5 layout, read and written with h5py alone: ``data/demo_<i>/...``, attributes, ``mask/<filter key>``.

Nothing here knows what the arrays mean; see ``robomimic.py`` for that.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from worldmodel.files import atomic_file

DATA, MASK = "data", "mask"
LARGEST = 2**33  # bytes of one dataset of one demonstration


@dataclass(frozen=True)
class Demo:
    """One demonstration. ``arrays`` maps the path below ``data/<name>`` to an array (T, ...); ``attrs`` are as stored.

    ``left_out`` names datasets that do not run along the demonstration's T steps or are not numbers.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    attrs: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """What belongs to the whole file: attributes of ``data`` (``env_args`` among them) and the filter keys.

    ``mask`` maps each filter key to the names of its demonstrations.
    """

    attrs: Mapping[str, Any] = field(default_factory=dict)
    mask: Mapping[str, np.ndarray] = field(default_factory=dict)


class DemoFile:
    """A file open for reading; a context manager. ``names`` are the demonstrations in the order of their numbers.

    Raises ValueError where it is not HDF5, or without ``data/demo_<i>``.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = _h5py().File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} is not a whole HDF5 file ({error}); download or write it again") from None
        self.path = path
        group = self._file.get(DATA)
        if not hasattr(group, "keys") or not any(hasattr(group[name], "keys") for name in self._own(DATA)):
            self._file.close()
            problem = "has no data/demo_0 in it, so it is not a robomimic file"
            raise ValueError(f"{path} {problem}; see `data convert --help`")
        self.names: tuple[str, ...] = tuple(sorted(self._own(DATA), key=number_of))

    @property
    def head(self) -> Head:
        masks = {} if MASK not in self._file else {key: self._file[MASK][key] for key in self._own(MASK)}
        return Head(dict(self._file[DATA].attrs), {key: np.asarray(self._plain(masks[key])[()]) for key in masks})

    def demo(self, name: str) -> Demo:
        """One demonstration, read whole."""
        group = self._file[DATA][name]
        datasets: dict[str, Any] = {}
        group.visititems(lambda path, item: datasets.update({path: item}) if hasattr(item, "dtype") else None)
        # Who trims a demonstration forgets its num_samples: the actions say how long it is
        steps = len(datasets["actions"]) if "actions" in datasets else int(group.attrs.get("num_samples", 0))
        fits = {path: item.shape[:1] == (steps,) and item.dtype.kind in "bfiu" for path, item in datasets.items()}
        return Demo(
            name,
            {path: np.asarray(self._plain(item)[()]) for path, item in datasets.items() if fits[path]},
            dict(group.attrs),
            tuple(path for path, fit in fits.items() if not fit),
        )

    def _own(self, group: str) -> list[str]:
        """Names in a group. ValueError where one is a link, which may lead to another file."""
        names = list(self._file[group])
        if links := [
            name for name in names if not isinstance(self._file[group].get(name, getlink=True), _h5py().HardLink)
        ]:
            raise ValueError(f"{self.path}: {group}/{links[0]} is a link, and may lead to other files; it is not read")
        return names

    def _plain(self, item: Any) -> Any:
        """A dataset. ValueError where its numbers lie in other files, or are more than any demonstration has."""
        if item.external or item.is_virtual:
            raise ValueError(f"{self.path}: {item.name} keeps its numbers in other files, which are not read")
        if item.size * item.dtype.itemsize > LARGEST:
            raise ValueError(f"{self.path}: {item.name} of shape {item.shape} is larger than {LARGEST >> 30} GiB")
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write(path: str | Path, head: Head, demos: Iterable[Demo], compress: bool = False) -> int:
    """Write a whole file under a temporary name, then rename it; returns the number of demonstrations.

    ``compress`` gzips what has rows of 1 kB or more (images). Nothing is left behind where it fails.
    """
    path = Path(path)
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, _h5py().File(temporary, "w") as file:
        data = file.create_group(DATA, track_order=True)
        for demo in demos:
            group = data.create_group(demo.name)
            for name, values in demo.arrays.items():
                heavy = compress and values[:1].nbytes >= 1024
                options = {"compression": "gzip", "compression_opts": 4, "chunks": (1, *values.shape[1:])}
                group.create_dataset(name, data=values, **(options if heavy else {}))
            group.attrs.update(demo.attrs)
            count += 1
        data.attrs.update(head.attrs)
        for key, names in head.mask.items():
            file.create_dataset(f"{MASK}/{key}", data=names)
    return count


def number_of(name: str) -> int:
    """``demo_12`` is 12: names are not in the order of the alphabet."""
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else -1


def to_json(value: Any) -> Any:
    """An HDF5 attribute, or an array of names, as JSON that ``from_json`` turns back exactly."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    array = np.asarray(value)
    if array.dtype.kind == "O":  # text of varying length
        return {"texts": [part.decode() if isinstance(part, bytes) else str(part) for part in array.reshape(-1)]}
    if array.dtype.kind == "S":
        return {"dtype": array.dtype.str, "value": np.char.decode(array, "latin-1").tolist()}
    return {"dtype": array.dtype.str, "value": array.tolist()}


def from_json(value: Any) -> Any:
    """What ``to_json`` was given; text of varying length as an array of objects."""
    if isinstance(value, str):
        return value
    if "bytes" in value:
        return value["bytes"].encode("latin-1")
    if "texts" in value:
        return np.array(value["texts"], dtype=object)
    dtype = np.dtype(value["dtype"])
    if dtype.kind == "S":
        return np.char.encode(np.array(value["value"], dtype=str), "latin-1").astype(dtype)
    return np.array(value["value"], dtype=dtype)[()]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ValueError("HDF5 files need h5py; install it with `pip install 'worldmodel[robomimic]'`") from None
    return h5py
