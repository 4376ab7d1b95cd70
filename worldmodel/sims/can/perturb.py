"""Changes to what the cameras see, drawn anew at each reset. Physics and its state never change."""

import numpy as np

from .backend import mujoco
from .scene import Scene

PERTURBATIONS = ("none", "light", "camera", "colour", "distractor", "camera_far", "clutter")
"""Kinds of perturbation: light strength, tint and direction; camera pose; object and table colours; strange objects
on free spots of the table. Stronger: cameras moved farther; strange objects anywhere, also beside can and bin."""

FIELDS = ["light_dir", "light_diffuse", "cam_pos", "cam_quat", "mat_rgba", "geom_pos", "geom_rgba", "geom_group"]
"""What of MuJoCo's model a change may touch, the headlight aside."""
MOVES = {"camera": (0.015, 2.0, 1 / 3, 1 / 3), "camera_far": (0.04, 5.0, 0.5, 1.0)}
"""How far cameras move (m) and turn (degrees), and the wrist camera's shares of both: the palm is near."""
SHOWN = 0  # A group of geoms that the cameras draw; hidden ones are in group 4
DISTRACTOR_SPOTS = np.array(
    [(0.65, 0.10), (0.64, 0.20), (0.30, -0.26), (0.29, -0.15), (0.28, 0.0), (0.34, 0.12), (0.33, 0.22)]
)
"""Free spots on the table, metres, seen by the scene camera; those that a scene's tray or bin covers are left out."""
DISTRACTORS = ("distractor_0", "distractor_1", "distractor_2")
WALL = 0.01  # Thickness of the walls of tray and bin in metres
DISTRACTOR_RADIUS = 0.03  # Within this of its middle lies all of a distractor, in metres (a box's corners reach 3.5 cm)
CLUTTER_LOW, CLUTTER_HIGH = np.array([0.27, -0.33]), np.array([0.70, 0.24])
"""Where clutter may lie, metres: the part of the table that the scene camera shows."""


class Perturber:
    """Keeps the nominal look of a scene, and redraws one kind of change around it."""

    def __init__(self, scene: Scene, kind: str) -> None:
        self.kind, self._scene, self._model = kind, scene, scene.model
        self._nominal = {name: np.array(getattr(scene.model, name)) for name in FIELDS}
        self._ambient = np.array(scene.model.vis.headlight.ambient)

    def redraw(self, random: np.random.Generator) -> None:
        """Restores the nominal look, then applies a new draw. Call it at the episode's start, then `Scene.refresh`."""
        for name, value in self._nominal.items():
            getattr(self._model, name)[:] = value
        self._model.vis.headlight.ambient[:] = self._ambient
        if self.kind != "none":
            getattr(self, "_camera" if self.kind in MOVES else f"_{self.kind}")(random)

    def _light(self, random: np.random.Generator) -> None:
        """Strength x 0.6 to 1.3, a tint of 10 %, and a sun from anywhere above."""
        strength, tint = random.uniform(0.6, 1.3), random.uniform(0.9, 1.1, 3)
        self._model.vis.headlight.ambient[:] = self._ambient * strength * tint
        self._model.light_diffuse[0] = self._nominal["light_diffuse"][0] * random.uniform(0.3, 1.5) * tint
        self._model.light_dir[0] = [*random.uniform(-0.7, 0.7, 2), -1]

    def _camera(self, random: np.random.Generator) -> None:
        """Each camera moves along and turns about each axis by up to what `MOVES` says."""
        metres, degrees, wrist_move, wrist_turn = MOVES[self.kind]
        for name, move_share, turn_share in (("scene", 1.0, 1.0), ("wrist", wrist_move, wrist_turn)):
            camera = self._model.camera(name).id
            self._model.cam_pos[camera] += random.uniform(-metres, metres, 3) * move_share
            turn = random.uniform(-1, 1, 3) * np.radians(degrees) * turn_share
            rotation, turned = np.zeros(4), np.zeros(4)
            mujoco.mju_axisAngle2Quat(rotation, turn / max(np.linalg.norm(turn), 1e-9), float(np.linalg.norm(turn)))
            mujoco.mju_mulQuat(turned, rotation, self._nominal["cam_quat"][camera])
            self._model.cam_quat[camera] = turned

    def _colour(self, random: np.random.Generator) -> None:
        """Every material's red, green and blue move by up to 0.12, keeping objects distinguishable by colour."""
        shift = random.uniform(-0.12, 0.12, (self._model.nmat, 3))
        self._model.mat_rgba[:, :3] = np.clip(self._nominal["mat_rgba"][:, :3] + shift, 0, 1)

    def _distractor(self, random: np.random.Generator) -> None:
        """One to three strange objects of random colour on free spots of the table."""
        free = [spot for spot in DISTRACTOR_SPOTS if self._beside_walls(spot)]
        order = random.permutation(len(free))[: len(DISTRACTORS)]
        count = int(random.integers(1, len(DISTRACTORS) + 1))
        for name, spot in list(zip(DISTRACTORS, order, strict=False))[:count]:
            self._show(name, free[spot] + random.uniform(-0.015, 0.015, 2), random)

    def _clutter(self, random: np.random.Generator) -> None:
        """Three strange objects of random colour anywhere in view, in the tray too, as near as they may be.

        They are half as high as the can and stand 7 cm or more from its middle, outside the bin and clear of its walls:
        from the scene camera, which looks down at 45 degrees, they may cover a part of can or bin, never all of it.
        """
        scene, taken = self._scene, [*self._scene.things]
        for name in DISTRACTORS:
            spot = scene.can_position[:2]
            while (
                np.linalg.norm(spot - scene.can_position[:2]) < 0.07
                or not self._beside_walls(spot)
                or any(np.linalg.norm(spot - other) < 2 * DISTRACTOR_RADIUS for other in taken)
            ):
                spot = random.uniform(CLUTTER_LOW, CLUTTER_HIGH)
            taken.append(spot)
            self._show(name, spot, random)

    def _beside_walls(self, spot: np.ndarray) -> bool:
        """Whether an object at ``spot`` (2,) would stand in no wall of tray or bin, and not in the bin."""
        tray, apart = self._scene.tray.outside(*spot), DISTRACTOR_RADIUS
        return bool(self._scene.bin.outside(*spot) > WALL + apart and not -apart < tray < WALL + apart)

    def _show(self, name: str, spot: np.ndarray, random: np.random.Generator) -> None:
        """Shows a distractor at ``spot`` (2,) in a random colour."""
        geom = self._model.geom(name).id
        self._model.geom_pos[geom, :2] = spot
        self._model.geom_rgba[geom, :3] = random.uniform(0, 1, 3)
        self._model.geom_group[geom] = SHOWN
