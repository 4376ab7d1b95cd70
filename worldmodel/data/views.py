"""Fast random access to an array over concatenated time: in memory, mapped, through zarr-python, or computed."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from worldmodel.data.layout import GROUP, DamagedStoreError, array_metadata, block_path

CACHED_ROW_BYTES = 4096
"""Arrays with smaller rows (states, actions) are read into memory whole; larger ones (frames) stay mapped."""
PIECE = 256  # Computed rows made at a time, so that only these are in memory at their full size


class View:
    """Read-only rows over concatenated time, (T, *row): ``view[i]``, ``view[a:b]`` and ``view.take(indices)``."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.take(np.arange(*index.indices(len(self))) if isinstance(index, slice) else index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, indices: Any) -> np.ndarray:
        """Rows at ``indices`` (any integer shape I; negative ones count from the end): (*I, *row), a copy.

        Raises IndexError for an index outside the array.
        """
        wanted = np.asarray(indices)
        if wanted.dtype.kind == "b":
            raise IndexError("a mapped array takes integer indices, not a boolean mask; use np.flatnonzero(mask)")
        flat: np.ndarray = wanted.reshape(-1).astype(np.int64)
        flat = np.where(flat < 0, flat + len(self), flat)
        if len(flat) and (flat.min() < 0 or flat.max() >= len(self)):
            raise IndexError(f"time index out of range for {len(self)} steps")
        return self.rows(flat).reshape(*wanted.shape, *self.shape[1:])

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows at ``indices`` int64 (n,), all within the array: (n, *row)."""
        raise NotImplementedError


class CachedView(View):
    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values.shape, values.dtype)
        values.flags.writeable = False
        self.values = values

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.values[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype) if copy or dtype else self.values

    def take(self, indices: Any) -> np.ndarray:
        return self.values[np.asarray(indices)]


class MappedView(View):
    """Large rows in memory-mapped block files; only the rows in use are read."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype, block: int) -> None:
        super().__init__(shape, dtype)
        count = -(-shape[0] // block)
        _allow_open_files(count)
        self.block = block
        self.blocks = [map_block(folder, index, (block, *shape[1:]), dtype) for index in range(count)]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            return self._run(start, stop)
        return super().__getitem__(index)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        out, blocks = np.empty((len(indices), *self.shape[1:]), self.dtype), self.blocks
        which, offsets = (part.tolist() for part in np.divmod(indices, self.block))
        for position, (index, offset) in enumerate(zip(which, offsets, strict=True)):
            out[position] = blocks[index][offset]
        return out

    def _run(self, start: int, stop: int) -> np.ndarray:
        """Contiguous rows: a view of the mapping inside one block, a copy across blocks."""
        if stop <= start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        pieces = []
        for index in range(start // self.block, (stop - 1) // self.block + 1):
            base = index * self.block
            pieces.append(self.blocks[index][max(start - base, 0) : min(stop - base, self.block)])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class ZarrView(View):
    """Any array that zarr-python can read (a codec, another chunk grid): correct, some fifty times slower."""

    def __init__(self, folder: Path) -> None:
        import zarr  # only archives need it, and it costs most of a second to import

        self.array: Any = zarr.open_array(folder, mode="r")
        super().__init__(tuple(self.array.shape), np.dtype(self.array.dtype))

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.array[index]) if isinstance(index, slice) else self.take(index)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        unique, inverse = np.unique(indices, return_inverse=True)
        return np.asarray(self.array.oindex[unique])[inverse]


class ComputedView(View):
    """A View of ``shape`` whose rows come from ``make(sorted unique indices)``; ``label`` names long work."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype, make: Callable[[np.ndarray], np.ndarray], label: str
    ) -> None:
        super().__init__(shape, dtype)
        self.make, self.label = make, label

    def rows(self, indices: np.ndarray) -> np.ndarray:
        unique, inverse = np.unique(indices, return_inverse=True)
        made = np.empty((len(unique), *self.shape[1:]), self.dtype)
        starts = range(0, len(unique), PIECE)
        for start in track(starts, self.label, disable=len(starts) < 8, transient=True):
            made[start : start + PIECE] = self.make(unique[start : start + PIECE])
        return made[inverse]


def map_block(folder: Path, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """One block file as a read-only mapped array of exactly ``shape``; DamagedStoreError where it cannot be."""
    path, expected = block_path(folder, index, len(shape)), int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not path.exists():
        raise DamagedStoreError(f"block {index} of array {folder.name} is missing ({path})")
    if (size := path.stat().st_size) != expected:
        raise DamagedStoreError(f"block {index} of array {folder.name} has {size} bytes, expected {expected}")
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=shape))


def open_view(folder: Path, shape: tuple[int, ...], dtype: np.dtype, block: int) -> View:
    """The fastest view of an array whose Zarr metadata must agree with ``shape`` and ``dtype``."""
    what, file = f"the metadata of array {folder.name}", folder / GROUP
    try:
        metadata = json.loads(file.read_bytes())
        agrees = tuple(metadata["shape"]) == shape and np.dtype(metadata["data_type"]) == dtype
    except (OSError, ValueError, KeyError, TypeError):
        raise DamagedStoreError(f"{what} is missing or damaged ({file})") from None
    if not agrees:
        raise DamagedStoreError(f"{what} is damaged: expected {shape} {dtype} in {file}")
    small = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize <= CACHED_ROW_BYTES
    ours, layout = array_metadata(shape, dtype, block, ()), ("chunk_grid", "chunk_key_encoding", "codecs")
    if all(metadata.get(name) == ours[name] for name in layout):  # block files without a codec, as we write them
        mapped = MappedView(folder, shape, dtype, block)
        return CachedView(np.array(mapped[:])) if small else mapped
    try:
        view = ZarrView(folder)
        return CachedView(view[:]) if small else view
    except Exception as error:  # whatever zarr makes of damaged metadata, the user gets one line
        raise DamagedStoreError(f"array {folder.name} cannot be read: {error} ({file})") from error


def _allow_open_files(count: int) -> None:
    """Every mapping holds a file descriptor: lift the soft limit towards the hard one where a store needs more."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # absent on Windows, refused in some sandboxes
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        folder = Path("/proc/self/fd")
        used = len(list(folder.iterdir())) if folder.is_dir() else 256
        if used + count + 256 > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, used + count + 512), hard))
