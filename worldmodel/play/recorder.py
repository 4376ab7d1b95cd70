"""A clip of what was played: real above imagined, encoded by a thread of its own while it happens."""

import queue
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from worldmodel.report.video import caption, compare, write_mp4
from worldmodel.schema import CONTROL_HZ, Arrays, image_key

LONGEST = 10 * 60 * CONTROL_HZ
"""Control steps after which a clip ends by itself: ten minutes."""
WAITING = 64
"""Pictures that may wait for the encoder; beyond that the session waits for it."""


type PlayedStep = tuple[list[np.ndarray], list[np.ndarray], str]
"""One control step: by camera the real frames and the imagined ones, and a line of text."""


class ClipRecorder:
    """Writes ``path``, an mp4 with ``comment`` in its metadata, which is there once it is whole: after `close`."""

    def __init__(self, path: Path, cameras: tuple[str, ...], comment: str) -> None:
        self.path, self.cameras, self.comment = path, cameras, comment
        self.steps, self.failed = 0, ""
        self._shots: queue.Queue[PlayedStep | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write, name="recorder")
        self._thread.start()

    def add(self, real: Arrays, imagined: Arrays, text: str) -> None:
        if not self.failed:
            self._shots.put((self._frames(real), self._frames(imagined), text))
            self.steps += 1

    @property
    def full(self) -> bool:
        """Whether the clip has reached its longest, or cannot be written."""
        return self.steps >= LONGEST or bool(self.failed)

    def close(self) -> Path | None:
        """Finish the file, None where nothing was recorded; OSError, one line, where it could not be written."""
        if self._thread.is_alive():
            self._shots.put(None)
            self._thread.join()
        if self.failed:
            raise OSError(f"cannot write {self.path}: {self.failed}")
        return self.path if self.steps else None

    def _write(self) -> None:
        first = self._shots.get()
        if first is None:
            return
        try:
            write_mp4(self.path, self._pictures(first), CONTROL_HZ, self.comment)
        except (OSError, ValueError) as error:
            self.failed = " ".join(str(error).split()) or type(error).__name__
            while not self._shots.empty():  # nothing may wait for an encoder that is gone
                self._shots.get_nowait()

    def _pictures(self, first: PlayedStep) -> Iterator[np.ndarray]:
        for real, imagined, text in chain([first], iter(self._shots.get, None)):
            yield caption(compare({"MuJoCo": real, "imagined (generated)": imagined}, self.cameras), text)

    def _frames(self, observation: Arrays) -> list[np.ndarray]:
        return [np.asarray(observation[key]) for key in map(image_key, self.cameras)]
