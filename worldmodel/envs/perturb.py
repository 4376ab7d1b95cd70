"""Changes to what the cameras see, drawn anew at each reset. Physics and its state layout never change."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import numpy as np

from .backend import mujoco

PERTURBATIONS = ("none", "light", "camera", "colour", "distractor")
"""Kinds of perturbation: light strength, tint and direction; camera pose; object and table colours; strange objects."""

HIDDEN, SHOWN = 4, 0
"""Geom groups: the cameras draw groups 0 to 2."""
DISTRACTOR_SPOTS = np.array(
    [(0.65, 0.10), (0.64, 0.20), (0.30, -0.26), (0.29, -0.15), (0.28, 0.0), (0.34, 0.12), (0.33, 0.22)]
)
"""Free spots on the table, metres, seen by the scene camera, clear of tray and bin."""


def check_perturbation(name: str) -> str:
    """Returns ``name``.

    Raises:
        ValueError: no such perturbation; the message names the closest one.
    """
    if name not in PERTURBATIONS:
        close = get_close_matches(str(name), PERTURBATIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(PERTURBATIONS)}"
        raise ValueError(f"unknown perturbation {name!r}, expected one of {', '.join(PERTURBATIONS)}; {hint}")
    return name


class Perturber:
    """Keeps the nominal look of a model, and redraws one kind of change around it."""

    def __init__(self, model: Any, kind: str) -> None:
        self.kind = check_perturbation(kind)
        self._model = model
        fields = (
            "light_dir",
            "light_diffuse",
            "cam_pos",
            "cam_quat",
            "mat_rgba",
            "geom_pos",
            "geom_rgba",
            "geom_group",
        )
        self._nominal = {name: np.array(getattr(model, name)) for name in fields}
        self._ambient = np.array(model.vis.headlight.ambient)
        self._diffuse = np.array(model.vis.headlight.diffuse)

    def redraw(self, random: np.random.Generator) -> None:
        """Restores the nominal look, then applies a new draw."""
        for name, value in self._nominal.items():
            getattr(self._model, name)[:] = value
        self._model.vis.headlight.ambient[:] = self._ambient
        self._model.vis.headlight.diffuse[:] = self._diffuse
        if self.kind != "none":
            getattr(self, f"_{self.kind}")(random)

    def _light(self, random: np.random.Generator) -> None:
        """Strength x 0.6 to 1.3, a tint of 10 %, and a sun from anywhere above."""
        strength, tint = random.uniform(0.6, 1.3), random.uniform(0.9, 1.1, 3)
        self._model.vis.headlight.ambient[:] = self._ambient * strength * tint
        self._model.light_diffuse[0] = self._nominal["light_diffuse"][0] * random.uniform(0.3, 1.5) * tint
        self._model.light_dir[0] = [*random.uniform(-0.7, 0.7, 2), -1]

    def _camera(self, random: np.random.Generator) -> None:
        """Each camera moves by up to 1.5 cm and turns by up to 2 degrees about each axis (wrist: a third of it)."""
        for name, scale in (("scene", 1.0), ("wrist", 1 / 3)):
            camera = self._model.camera(name).id
            self._model.cam_pos[camera] += random.uniform(-0.015, 0.015, 3) * scale
            turn = random.uniform(-1, 1, 3) * np.radians(2) * scale
            rotation, turned = np.zeros(4), np.zeros(4)
            mujoco.mju_axisAngle2Quat(rotation, turn / max(np.linalg.norm(turn), 1e-9), float(np.linalg.norm(turn)))
            mujoco.mju_mulQuat(turned, rotation, self._nominal["cam_quat"][camera])
            self._model.cam_quat[camera] = turned

    def _colour(self, random: np.random.Generator) -> None:
        """Every material's red, green and blue move by up to 0.12, keeping objects told apart by colour."""
        shift = random.uniform(-0.12, 0.12, (self._model.nmat, 3))
        self._model.mat_rgba[:, :3] = np.clip(self._nominal["mat_rgba"][:, :3] + shift, 0, 1)

    def _distractor(self, random: np.random.Generator) -> None:
        """One to three strange objects of random colour on free spots of the table."""
        names = [f"distractor_{i}" for i in range(3)]
        spots = random.permutation(len(DISTRACTOR_SPOTS))[: len(names)]
        count = int(random.integers(1, len(names) + 1))
        for name, spot in list(zip(names, spots, strict=True))[:count]:
            geom = self._model.geom(name).id
            self._model.geom_pos[geom, :2] = DISTRACTOR_SPOTS[spot] + random.uniform(-0.015, 0.015, 2)
            self._model.geom_rgba[geom, :3] = random.uniform(0, 1, 3)
            self._model.geom_group[geom] = SHOWN
