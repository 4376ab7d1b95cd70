"""One array over concatenated time as block files: appending to them, and plain reads of what may be damaged."""

import os
from pathlib import Path

import numpy as np

from worldmodel.data.layout import GROUP, array_json, block_path
from worldmodel.files import write_file


class BlockReader:
    """Plain reads of rows (..., *row) from block files, without mapping them: for checking what may be damaged."""

    def __init__(self, folder: Path, row: tuple[int, ...], dtype: np.dtype, block: int) -> None:
        self.folder, self.row, self.dtype, self.block = folder, row, dtype, block
        self.row_bytes = int(np.prod(row, dtype=np.int64)) * dtype.itemsize

    def path(self, index: int) -> Path:
        return block_path(self.folder, index, 1 + len(self.row))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), fewer where a file is short; OSError where one is missing."""
        items = int(np.prod(self.row, dtype=np.int64))
        pieces = [np.empty((0, *self.row), self.dtype)]
        while start < stop:
            index, offset = divmod(start, self.block)
            count = min(stop - start, self.block - offset)
            values = np.fromfile(self.path(index), self.dtype, count * items, offset=offset * self.row_bytes)
            whole = len(values) // items
            pieces.append(values[: whole * items].reshape(whole, *self.row))
            start += count
        return np.concatenate(pieces)


class BlockWriter(BlockReader):
    """Appends rows at the end of an array of fixed blocks. Rows past ``length`` are free to be overwritten."""

    def __init__(self, folder: Path, row: tuple[int, ...], dtype: np.dtype, block: int) -> None:
        super().__init__(folder, row, dtype, block)
        self.length = 0
        self._open: tuple[int, int] | None = None

    def append(self, rows: np.ndarray) -> None:
        """Write ``rows`` (T, *row) at the end; OSError (disk full) leaves ``length`` as it was."""
        data = memoryview(np.ascontiguousarray(rows).view(np.uint8).reshape(-1))
        position, end = self.length, self.length + len(rows)
        while position < end:
            index, offset = divmod(position, self.block)
            count = min(end - position, self.block - offset)
            start = (position - self.length) * self.row_bytes
            self._write(index, offset * self.row_bytes, data[start : start + count * self.row_bytes])
            position += count
        self.length = end

    def finish(self) -> None:
        """Zero the padding of the last block, bring all blocks to the disk, write the Zarr metadata and close."""
        index, offset = divmod(self.length, self.block)
        if offset:
            descriptor = self._descriptor(index)
            os.ftruncate(descriptor, offset * self.row_bytes)  # drops what an interrupted append left behind
            os.ftruncate(descriptor, self.block * self.row_bytes)
        for number in range(-(-self.length // self.block)):
            os.fsync(self._descriptor(number))
        self.close()
        shape = (self.length, *self.row)
        write_file(self.folder / GROUP, array_json(shape, self.dtype, self.block, self.folder.name))

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _write(self, index: int, offset: int, data: memoryview) -> None:
        descriptor = self._descriptor(index)
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written

    def _descriptor(self, index: int) -> int:
        if self._open is None or self._open[0] != index:
            self.close()
            path = self.path(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            self._open = (index, descriptor)
            os.ftruncate(descriptor, self.block * self.row_bytes)  # full size at once; the rest is a hole of zeros
        return self._open[1]
