"""robomimic's demonstrations as a store and back: what each array is called, and what is derived for training.

Every number of the file is kept as it is, under a key of our convention where there is one (``obs/agentview_image`` is
``observation.images.agentview``) and under ``robomimic.<path>`` where there is none, so that the way back is exact.
What training needs besides, in float32, is derived and left out on the way back: ``action`` (where the file has
float64), ``action.executed`` (the same) and ``observation.state``.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

from worldmodel.data.card import declared
from worldmodel.data.formats.conventions import (
    OscPose,
    deltas_by,
    matrix_from_xyzw,
    relative_dimensions,
    ten_from_absolute,
    xyzw_from_wxyz,
)
from worldmodel.data.formats.hdf5 import Demo, Head, from_json, number_of, to_json
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import ACTION, EXECUTED, IMAGES, STATE, Episode

ACTIONS, REWARDS, DONES, MODEL = "actions", "rewards", "dones", "model_file"
OURS = "worldmodel"  # Attribute of files made from our own stores: JSON with what robomimic has no place for
CARD_ATTRIBUTE = "worldmodel_card"
"""Attribute of files made from a store with a card: JSON with what people declared of it."""
NAMED = {REWARDS: "next.reward", DONES: "next.done"}
POSITION = "robot0_eef_pos"
"""Observation of where the controlled site is, in the world's frame, metres; absolute targets are positions of it."""
HAND = "obs/robot0_eef_quat"
"""Orientation of the hand's body, which robosuite recorded although it controls the site between the fingers."""
PANDA_SITE_IN_HAND = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""The Panda's gripper is mounted a quarter turn about the hand's z axis, clockwise."""
GYM = 2  # robomimic's number for the kind of env that files of our own tasks name


def keys_of(demo: Demo) -> dict[str, str]:
    """The store's key for each dataset path of a demonstration; no two paths share one."""
    keys: dict[str, str] = {}
    for path, values in sorted(demo.arrays.items()):
        key = _key(path, values)
        keys[path] = key if key not in keys.values() else "robomimic." + path.replace("/", ".")
    return keys


def _key(path: str, values: np.ndarray) -> str:
    if path == ACTIONS and values.dtype == np.float32:
        return ACTION
    if path in NAMED:
        return NAMED[path]
    group, _, name = path.partition("/")
    if group not in ("obs", "next_obs") or not name or "/" in name:
        return "robomimic." + path.replace("/", ".")
    image = values.dtype == np.uint8 and values.ndim == 4 and values.shape[-1] == 3
    key = IMAGES + name.removesuffix("_image").removesuffix("_rgb") if image else f"observation.{name}"
    return key if group == "obs" else f"next.{key}"


def pictures_of(demo: Demo) -> dict[str, str]:
    """Camera and path of observations that are pictures of another layout than ours: floats, or channels first."""
    found = {}
    for path, values in demo.arrays.items():
        group, _, name = path.partition("/")
        ours = values.dtype == np.uint8 and values.shape[-1] == 3
        if group != "obs" or ours or values.ndim != 4 or 3 not in (values.shape[1], values.shape[-1]):
            continue
        if sorted(values.shape[1:])[1] >= 8 and values.size and values.min() >= 0 and values.max() <= 255:
            found[name.removesuffix("_image").removesuffix("_rgb")] = path
    return found


def pixels(values: np.ndarray) -> np.ndarray:
    """Pictures as uint8 (T, H, W, 3), of any number format and with channels first or last; floats are 0 to 1."""
    values = values if values.shape[-1] == 3 else np.moveaxis(values, 1, -1)
    scaled = values * 255.0 if values.dtype.kind == "f" and values.max() <= 1 else values
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def path_of(key: str) -> str:
    """Where robomimic's tools expect an array of our own stores; the key itself where they know nothing like it."""
    known = {ACTION: ACTIONS, **{key: path for path, key in NAMED.items()}}
    if key.startswith(IMAGES):
        return f"obs/{key.removeprefix(IMAGES)}_image"
    if key.startswith("observation."):
        return "obs/" + key.removeprefix("observation.")
    return known.get(key, key)


class Reader:
    """Turns demonstrations of one file into episodes.

    ``keys`` maps paths to store keys, as in `keys_of` (or as the file itself says, where we wrote it).
    ``parts`` are the low-dimensional observations that make up ``observation.state``; ``absolute``:
    ``action`` holds absolute end-effector targets instead of the recorded actions.
    """

    def __init__(self, head: Head, first: Demo, parts: Iterable[str], absolute: bool) -> None:
        """Raises ValueError where an observation is missing, or no absolute target follows from the actions."""
        self.head, self.absolute = head, absolute
        self.ours: dict[str, Any] = json.loads(head.attrs[OURS]) if OURS in head.attrs else {}
        self.keys: dict[str, str] = self.ours.get("keys") or keys_of(first)
        self.declared: dict[str, Any] = dict(json.loads(head.attrs.get(CARD_ATTRIBUTE, "{}")))
        self.parts = tuple(part for part in parts if f"obs/{part}" in first.arrays)
        env_args = head.attrs.get("env_args", "{}")
        self.env: dict[str, Any] = json.loads(env_args)
        self.osc = OscPose.of(env_args) if absolute else None
        panda = "Panda" in str(self.env.get("env_kwargs", {}).get("robots"))
        if absolute and _orientation(first) == HAND and not panda:
            raise ValueError("absolute targets need obs/robot0_eef_quat_site or a Panda robot; keep actions=recorded")
        wanted = (f"obs/{POSITION}", _orientation(first)) if absolute else ()
        if missing := [path for path in (ACTIONS, *wanted) if path not in first.arrays]:
            raise ValueError(f"{first.name} has no {missing[0]!r}; it has {', '.join(sorted(first.arrays))}")
        self.pictures = {} if self.ours else pictures_of(first)
        self._models: dict[str, int] = {}

    def episode(self, demo: Demo, number: int) -> Episode:
        """Demonstration ``number`` of the store."""
        if missing := [path for path in self.keys if path not in demo.arrays]:
            raise ValueError(f"{demo.name} has no {missing[0]!r}, which earlier demonstrations have; leave it out")
        arrays = {key: demo.arrays[path] for path, key in self.keys.items()}
        if self.ours:
            saved = json.loads(demo.attrs[OURS])
            return Episode(arrays, saved["task"], saved["seed"], saved["success"], saved["info"])
        action = self._action(demo)
        derived = {ACTION: action, EXECUTED: action}
        derived |= {IMAGES + name: pixels(demo.arrays[path]) for name, path in self.pictures.items()}
        if self.parts:
            state = [demo.arrays[f"obs/{part}"].reshape(len(action), -1) for part in self.parts]
            derived[STATE] = np.concatenate(state, axis=1).astype(np.float32)
        task = str(self.env.get("env_name", "robomimic"))
        info = {"demo": demo.name, "attrs": self._attributes(demo, number)}
        return Episode({**derived, **arrays}, task, max(number_of(demo.name), 0), self._success(demo), info)

    def remember(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Episodes that a resumed store already holds: their models need not be stored again."""
        for number, record in enumerate(records):
            model = record["info"].get("attrs", {}).get(MODEL)
            if isinstance(model, str):
                self._models[model] = number

    def _action(self, demo: Demo) -> np.ndarray:
        """What training imitates, float32 (T, 7), or (T, 10) for absolute targets."""
        actions = demo.arrays[ACTIONS]
        if self.osc is None:
            return actions.astype(np.float32)
        if self.osc.kind == "absolute":
            return ten_from_absolute(actions).astype(np.float32)
        site = matrix_from_xyzw(demo.arrays[_orientation(demo)])
        if _orientation(demo) == HAND:
            site = site @ PANDA_SITE_IN_HAND
        pose = demo.arrays[f"obs/{POSITION}"], site
        return self.osc.targets(actions, *pose, base_of(demo.attrs.get(MODEL))).astype(np.float32)

    def _success(self, demo: Demo) -> bool:
        """From sparse rewards, else from the last ``done``; a file without either holds demonstrations of success."""
        shaped = self.env.get("env_kwargs", {}).get("reward_shaping", False)
        saved = demo.arrays.get(DONES if shaped or REWARDS not in demo.arrays else REWARDS)
        return bool((saved > 0).any()) if saved is not None else True

    def _attributes(self, demo: Demo, number: int) -> dict[str, Any]:
        """The demonstration's attributes as JSON; a scene that an earlier one had is named, not repeated."""
        attributes = {name: to_json(value) for name, value in demo.attrs.items()}
        model = attributes.get(MODEL)
        if isinstance(model, str) and self._models.setdefault(model, number) != number:
            attributes[MODEL] = {"same_as": self._models[model]}
        return attributes

    def provenance(self) -> dict[str, Any]:
        """What the way back needs, as JSON."""
        if self.ours:
            return dict(self.ours["provenance"])
        attributes = {name: to_json(value) for name, value in self.head.attrs.items() if name != CARD_ATTRIBUTE}
        mask = {name: to_json(names) for name, names in self.head.mask.items()}
        saved = (self.env.get("env_kwargs") or {}).get("control_freq")
        rate = {"rate": saved} if isinstance(saved, int | float) and 0 < saved < math.inf else {}
        return {"robomimic": {"attrs": attributes, "mask": mask, "keys": self.keys}, **rate}

    def relative(self, action: np.ndarray, state: np.ndarray | None) -> int:
        """As `relative_dimensions`, but where the file says it: deltas are targets of nothing; targets that we made of
        deltas are the hand's position plus a move, 3 where the state begins with it.
        """
        if state is None:
            return 0
        if self.osc is None:
            return 0 if deltas_by(self.env) else relative_dimensions(action, state)
        if self.parts[:1] != (POSITION,):
            return 0
        # absolute poses may be in the base's frame: there the numbers decide
        return 3 if self.osc.kind == "delta" else relative_dimensions(action[:, :3], state[:, :3])


def head_of(store: EpisodeStore) -> Head:
    """Attributes and filter keys of the file that a store becomes. StoreError where its card is damaged."""
    declarations = declared(store)
    card = {CARD_ATTRIBUTE: json.dumps(declarations)} if declarations else {}
    kept = store.meta["provenance"].get("robomimic")
    if kept:
        attributes = {name: from_json(value) for name, value in kept["attrs"].items()}
        return Head(attributes | card, {name: from_json(names) for name, names in kept["mask"].items()})
    keys = {path_of(key): key for key in store.keys}
    env = {"env_name": store.tasks[0], "type": GYM, "env_kwargs": {}}
    ours = {"keys": keys, "provenance": store.meta["provenance"]}
    names = np.array([f"demo_{i}" for i in range(store.episodes)], dtype="S")
    mask = {"successful": names[store.success]} if not store.success.all() else {}
    return Head({"total": store.steps, "env_args": json.dumps(env), OURS: json.dumps(ours), **card}, mask)


def demos_of(store: EpisodeStore) -> Iterator[Demo]:
    """Every episode of a store as a demonstration.

    One of our own stores gets sparse ``rewards`` and ``dones`` (1 on the last step of a success, on the last step).
    """
    kept = store.meta["provenance"].get("robomimic")
    keys = kept["keys"] if kept else {path_of(key): key for key in store.keys}
    for number in range(store.episodes):
        episode = store.episode(number)
        arrays = {path: episode.arrays[key] for path, key in keys.items()}
        if kept:
            yield Demo(episode.info["demo"], arrays, _restored(store, episode.info["attrs"]))
            continue
        last = np.arange(len(episode)) == len(episode) - 1
        arrays = {REWARDS: last * float(episode.success), DONES: last.astype(np.int64), **arrays}
        saved = {"task": episode.task, "seed": episode.seed, "success": episode.success, "info": dict(episode.info)}
        yield Demo(f"demo_{number}", arrays, {"num_samples": len(episode), OURS: json.dumps(saved)})


def _restored(store: EpisodeStore, attributes: Mapping[str, Any]) -> dict[str, Any]:
    model = attributes.get(MODEL)
    if isinstance(model, dict) and "same_as" in model:
        attributes = {**attributes, MODEL: store.meta["info"][model["same_as"]]["attrs"][MODEL]}
    return {name: from_json(value) for name, value in attributes.items()}


def base_of(model: Any, body: str = "robot0_base") -> np.ndarray:
    """Orientation of the robot's base in the world, (3, 3), from a scene's XML; no turn where the XML is silent."""
    turn = np.eye(3)
    scene = ElementTree.fromstring(model if isinstance(model, str) else "<none/>")
    parents = {child: parent for parent in scene.iter() for child in parent}
    node = scene.find(f"./worldbody//body[@name='{body}']")
    while node is not None:
        if quaternion := node.get("quat"):
            turn = matrix_from_xyzw(xyzw_from_wxyz(np.array(quaternion.split(), float))) @ turn
        node = parents.get(node)
    return turn


def _orientation(demo: Demo) -> str:
    """The observation of the controlled site's orientation, x y z w, or of the hand's."""
    site = "obs/robot0_eef_quat_site"
    return site if site in demo.arrays else HAND
