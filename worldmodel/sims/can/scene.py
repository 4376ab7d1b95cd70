"""The physical scene: an MJCF model with the addresses that controllers, tasks and cameras need."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodel.assets import asset

from .backend import mujoco

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("finger_left", "finger_right")
PADS = ("pad_left", "pad_right")
CAMERAS = ("scene", "wrist")
THINGS = ("thing_0", "thing_1", "thing_2")
"""Strange objects that belong to some scenes: part of the state, nothing collides with them."""
FLOOR = 0.004  # Height of the inner floor of tray and bin in metres
BURIED = -2.0  # Height of a thing that this episode does without, in metres: below the floor, where no camera looks

CAN_RADIUS = 0.030
CAN_HALF_HEIGHT = 0.055
MAX_WIDTH = 0.09  # Opening between the pads with the gripper fully open, in metres

WORKSPACE_LOW = np.array([0.34, -0.32, 0.022])
WORKSPACE_HIGH = np.array([0.66, 0.25, 0.30])
"""Limits of the end effector in metres, world frame; the floors of tray and bin lie at z = 0.004."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle on the table: centre and half extents in metres, and the height of its rim."""

    x: float
    y: float
    half_x: float
    half_y: float
    rim: float

    def holds(self, x: float, y: float) -> bool:
        return bool(abs(x - self.x) <= self.half_x and abs(y - self.y) <= self.half_y)

    def outside(self, x: float, y: float) -> float:
        """How far the point lies outside the inner walls along the farther axis, in metres; negative inside."""
        return float(max(abs(x - self.x) - self.half_x, abs(y - self.y) - self.half_y))


class Scene:
    """A loaded model, its data, and addresses into them. Holds no control or task state."""

    def __init__(self, text: bytes) -> None:
        """``text``: an MJCF scene that has our joint, geom, site and camera names."""
        model = self.model = mujoco.MjModel.from_xml_string(text.decode())
        self.data, self.sha256 = mujoco.MjData(model), hashlib.sha256(text).hexdigest()
        arm, fingers = ([model.joint(name) for name in names] for names in (ARM_JOINTS, FINGER_JOINTS))
        self.arm_qpos = np.concatenate([joint.qposadr for joint in arm])
        self.arm_dofs = np.concatenate([joint.dofadr for joint in arm])
        self.finger_qpos = np.concatenate([joint.qposadr for joint in fingers])
        self.can_qpos, self.can_dof = int(model.joint("can").qposadr[0]), int(model.joint("can").dofadr[0])
        self.can_geom, self.eef_site = int(model.geom("can").id), int(model.site("eef").id)
        self.pad_geoms = np.array([int(model.geom(name).id) for name in PADS])
        self.bin_mocap = int(model.body_mocapid[int(model.geom("bin_floor").bodyid[0])])
        things = [name for name in THINGS if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) >= 0]
        self.thing_geoms = np.array([int(model.geom(name).id) for name in things], dtype=int)
        self.thing_mocaps = np.array([int(model.body(name).mocapid[0]) for name in things], dtype=int)
        self.refresh()

    def _box(self, name: str) -> Box:
        """The box made of the geoms ``<name>_floor``, ``_near`` (along y) and ``_left`` (along x), where it stands."""
        near, left = self.model.geom(f"{name}_near").size, self.model.geom(f"{name}_left").size
        x, y, _ = self.data.geom_xpos[self.model.geom(f"{name}_floor").id].tolist()
        # Rounded, because 0.084 - 0.010 should be 0.074 to the last bit
        return Box(x, y, float(left[0]), round(float(near[1] - 2 * near[0]), 6), round(float(2 * near[2]), 6))

    def furnish(self, place: np.ndarray | None, things: np.ndarray) -> None:
        """Puts the bin at ``place`` (2,) in metres, and the things where each row of ``things`` says.

        Rows (3, 5) are x, y in metres and red, green, blue in [0, 1]; a row of NaN buries its thing. A scene whose bin
        or things are fixed takes None or no rows. All of it becomes part of `get_state`, and `refresh` shows it.
        """
        if place is not None:
            self.data.mocap_pos[self.bin_mocap, :2] = place
        for i, (mocap, row) in enumerate(zip(self.thing_mocaps, things, strict=True)):
            if np.isnan(row).any():
                self.data.mocap_pos[mocap, 2] = BURIED
                continue
            self.data.mocap_pos[mocap, :2] = row[:2]
            self.data.userdata[3 * i : 3 * i + 3] = row[2:]

    @property
    def bin(self) -> Box:
        """The green bin, where it stands now."""
        return self._box("bin")

    @property
    def tray(self) -> Box:
        return self._box("tray")

    @property
    def bin_moves(self) -> bool:
        """Whether the bin's place is part of the state."""
        return self.bin_mocap >= 0

    @property
    def things(self) -> np.ndarray:
        """Places of the things on the table, float64 (k, 2), metres; those buried are left out."""
        places = self.data.mocap_pos[self.thing_mocaps]
        return places[places[:, 2] > 0, :2].copy()

    @property
    def state_size(self) -> int:
        return int(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))

    def get_state(self) -> np.ndarray:
        """Physics state, float64 (state_size,): positions and velocities alone would not resume exactly."""
        state = np.zeros(self.state_size)
        mujoco.mj_getState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def set_state(self, state: np.ndarray) -> None:
        mujoco.mj_resetData(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        self.refresh()

    def substeps(self, hertz: int) -> int:
        """Physics steps per control step. ValueError where these do not divide it exactly."""
        timestep = float(self.model.opt.timestep)
        ratio = 1 / (hertz * timestep)
        if abs(ratio - round(ratio)) > 1e-6:
            raise ValueError(f"timestep {timestep} s does not divide 1/{hertz} s; choose for example 0.005 s")
        return round(ratio)

    def refresh(self) -> None:
        """Brings positions and contacts up to date with the state, and nothing that a later step could notice.

        `mj_step` leaves derived quantities one substep behind; observing after this makes an observation a function
        of the state alone, so that a restored state gives the same pixels. (`mj_forward` would move the warm start.)
        """
        self.model.geom_rgba[self.thing_geoms, :3] = self.data.userdata.reshape(-1, 3)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)

    @property
    def eef(self) -> np.ndarray:
        """Point between the fingertips, float64 (3,), metres, world frame."""
        return self.data.site_xpos[self.eef_site].copy()

    @property
    def width(self) -> float:
        """Opening between the pads in metres, 0 to `MAX_WIDTH`."""
        return float(self.data.qpos[self.finger_qpos].sum())

    @property
    def can_position(self) -> np.ndarray:
        """Centre of the can, float64 (3,), metres, world frame."""
        return self.data.qpos[self.can_qpos : self.can_qpos + 3].copy()

    @property
    def can_quaternion(self) -> np.ndarray:
        """Orientation of the can, float64 (4,), w x y z."""
        return self.data.qpos[self.can_qpos + 3 : self.can_qpos + 7].copy()

    @property
    def can_velocity(self) -> np.ndarray:
        """Linear velocity of the can, float64 (3,), metres per second, world frame."""
        return self.data.qvel[self.can_dof : self.can_dof + 3].copy()

    @property
    def can_axis(self) -> np.ndarray:
        """Unit vector along the can, float64 (3,); (0, 0, 1) when it stands."""
        w, x, y, z = self.can_quaternion
        return np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])

    @property
    def can_bottom(self) -> float:
        """Height of the lowest point of the can in metres, whatever its tilt."""
        upright = abs(float(self.can_axis[2]))
        sideways = float(np.sqrt(max(0.0, 1 - upright**2)))
        return float(self.can_position[2]) - CAN_HALF_HEIGHT * upright - CAN_RADIUS * sideways

    @property
    def parts(self) -> np.ndarray:
        """What each geom belongs to, uint8 (geoms,): 0 background, 1 gripper (hand and fingers), 2 object (the can)."""
        bodies = {"hand": 1, "finger_left": 1, "finger_right": 1, "can": 2}
        known = {int(self.model.body(name).id): part for name, part in bodies.items()}
        return np.array([known.get(int(body), 0) for body in self.model.geom_bodyid], np.uint8)

    @property
    def touching(self) -> int:
        """How many of the two pads touch the can: 0, 1 or 2."""
        count = int(self.data.ncon)
        if count == 0:
            return 0
        pairs = np.asarray(self.data.contact.geom)[:count]
        partners = pairs[(pairs == self.can_geom).any(axis=1)]
        return int(sum((partners == pad).any() for pad in self.pad_geoms))


def load_scene(name: str) -> Scene:
    """A scene of ours by its name, or one's own by the path of its MJCF file."""
    return Scene((Path(name) if name.endswith(".xml") else asset(f"envs/{name}.xml")).read_bytes())
