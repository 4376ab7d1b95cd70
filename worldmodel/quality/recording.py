"""Episodes for the Rerun viewer: a file it opens, or a stream into one that runs."""

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.files import atomic_file
from worldmodel.schema import ACTION, EXECUTED, STATE, cameras_of, image_key

LIBRARY, PACKAGE = "rerun", "rerun-sdk>=0.24,<0.34"
"""Name to import, and what to install: 140 MB that nothing else here needs."""
TIMELINE = "seconds"


def load_rerun() -> Any:
    """The library. UserError, one line, where it is not installed or too old."""
    try:
        rerun = importlib.import_module(LIBRARY)
    except ImportError:
        raise UserError(f"rerun=true and live=true need the Rerun SDK: pip install '{PACKAGE}'") from None
    if not hasattr(rerun, "Scalars"):
        raise UserError(f"the installed Rerun SDK {rerun.__version__} is too old: pip install '{PACKAGE}'")
    return rerun


def write_file(store: EpisodeStore, episodes: Iterable[int], path: Path, rate: float) -> None:
    """Write an ``.rrd`` file with ``episodes``, each as ``episode_<i>/...``, lossless; complete or not there at all."""
    rerun = load_rerun()
    stream = _stream(rerun, store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        stream.save(str(temporary))
        _log(rerun, stream, store, episodes, rate)
        stream.disconnect()


def show_live(store: EpisodeStore, episodes: Iterable[int], rate: float, address: str | None) -> None:
    """Stream ``episodes`` into the viewer at ``address`` (``rerun+http://HOST:9876/proxy``), or open one here."""
    rerun = load_rerun()
    if address is None and sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError("live=true: no display here; start `rerun` elsewhere and give address=, or use rerun=true")
    stream = _stream(rerun, store)
    try:
        if address is None:
            stream.spawn()
        else:
            stream.connect_grpc(address)
        _log(rerun, stream, store, episodes, rate)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"live=true: no viewer at {address or 'this machine'} ({error}); start `rerun` first") from None
    finally:
        stream.disconnect()


def _log(rerun: Any, stream: Any, store: EpisodeStore, episodes: Iterable[int], rate: float) -> None:
    """Send episodes: a picture per camera and step, a line per dimension of state and actions, over seconds."""
    for episode in episodes:
        (start, stop), root = store.span(episode), f"episode_{episode:05d}"
        seconds = np.arange(stop - start) / rate
        outcome = "succeeded" if store.success[episode] else "failed"
        text = f"{store.tasks[int(store.task_index[episode])]}, seed {int(store.seeds[episode])}, {outcome}"
        stream.log(root, rerun.TextDocument(f"{text}, {stop - start} steps"), static=True)
        for key in (key for key in (STATE, ACTION, EXECUTED) if key in store.keys):
            values = np.asarray(store.array(key)[start:stop], np.float64).reshape(stop - start, -1)
            for i, line in enumerate(values.T):
                clock = [rerun.TimeColumn(TIMELINE, duration=seconds)]
                stream.send_columns(f"{root}/{key}/{i}", clock, rerun.Scalars.columns(scalars=line))
        for camera in cameras_of(dict.fromkeys(store.keys)):
            for step, second in enumerate(seconds.tolist()):
                stream.set_time(TIMELINE, duration=second)
                frame = store.array(image_key(camera))[start + step : start + step + 1]
                stream.log(f"{root}/{camera}", rerun.Image(np.asarray(frame)[0]))
    stream.flush()


def _stream(rerun: Any, store: EpisodeStore) -> Any:
    return rerun.RecordingStream(f"worldmodel {store.path.name}", recording_id=store.fingerprint[:16])
