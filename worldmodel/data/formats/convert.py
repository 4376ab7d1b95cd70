"""``worldmodel data convert``: between stores, robomimic files and LeRobot datasets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worldmodel.config import option
from worldmodel.data.layout import GROUP, UNSEALED
from worldmodel.data.store import EpisodeStore
from worldmodel.files import locked
from worldmodel.schema import LEROBOT

HDF5 = (".hdf5", ".h5")


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert, and into what."""

    source: str = option("a store's folder, a robomimic .hdf5 file or a LeRobot dataset")
    out: str = option("folder or file to write; must not exist yet")
    to: Literal["store", "robomimic", "lerobot"] = option("the layout to write", "store")
    actions: Literal["recorded", "absolute"] = option(
        "robomimic to store: train on actions as recorded, or on absolute end-effector targets (10 numbers)", "recorded"
    )
    state: str = option(
        "robomimic to store: low-dimensional observations that make up observation.state, in this order",
        "robot0_eef_pos,robot0_eef_quat,robot0_gripper_qpos",
    )
    compress: bool = option("store to robomimic: gzip the images", False)
    frames: Literal["as_recorded", "image", "video"] = option(
        "store to LeRobot: image is exact, video small; as_recorded is what a LeRobot dataset had, else image",
        "as_recorded",
    )
    without: str = option("LeRobot: arrays to leave out, separated by commas", "")


def convert(config: ConvertConfig) -> int:
    """Convert; ValueError for a pair of layouts that is not supported. Each branch imports its own layout's module."""
    kind, out = kind_of(config.source), Path(config.out)
    without = tuple(filter(None, config.without.split(",")))
    with locked(out):
        _convert(config, kind, without)
    return 0


def _convert(config: ConvertConfig, kind: str, without: tuple[str, ...]) -> None:
    source, out = config.source, Path(config.out)
    match kind, config.to:
        case "robomimic", "store":
            from worldmodel.data.formats import robomimic_files

            _print(robomimic_files.to_store(Path(source), out, config.actions, config.state))
        case "store", "robomimic":
            from worldmodel.data.formats import robomimic_files

            robomimic_files.from_store(Path(source), out, config.compress)
        case "lerobot", "store":
            from worldmodel.data.formats import lerobot_convert

            _print(lerobot_convert.to_store(source, out, without))
        case "store", "lerobot":
            from worldmodel.data.formats import lerobot_convert

            lerobot_convert.from_store(source, out, config.frames, without)
            print(f"{out}: written; look at it with `worldmodel data info lerobot:{out}`")
        case _:
            way = "go by way of a store: first to=store, then from there"
            raise ValueError(f"to={config.to}: cannot convert {source}, which is a {kind}, to that; {way}")


def _print(store: EpisodeStore) -> None:
    print(f"{store.path}: {store.episodes} episodes, {store.steps} steps, {int(store.success.sum())} successful")
    print(f"fingerprint {store.fingerprint}; look at it with `worldmodel data info {store.path}`")


def kind_of(source: str) -> str:
    """Layout of ``source``: store, robomimic or lerobot (also where it is the name of a dataset on a hub)."""
    path = Path(source)
    if source.startswith(LEROBOT):
        return "lerobot"
    if path.suffix.lower() in HDF5:
        if not path.is_file():
            raise FileNotFoundError(f"no file {source}; give the path of an .hdf5 file")
        return "robomimic"
    if (path / GROUP).exists() or (path / UNSEALED).exists():
        return "store"
    if (path / "meta" / "info.json").exists() or (not path.exists() and source.count("/") == 1):
        return "lerobot"
    kinds = "store, robomimic .hdf5 file or LeRobot dataset"
    raise FileNotFoundError(f"{source} is no {kinds}; give the path of one of these")
