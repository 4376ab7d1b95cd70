"""A contact microphone: what touches is heard. Sound is synthesised from MuJoCo's contact forces while it steps.

Every pair of surfaces has a few damped modes. A change of its normal force strikes them, so a can that is gripped, set
down or let go rings briefly; a contact that slides hisses with its normal force times its speed.
"""

import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from worldmodel.schema import AUDIO_HZ

from .backend import mujoco
from .scene import Scene

type Mode = tuple[float, float, float]
"""Frequency in hertz, seconds until it has fallen to 1/e, loudness per newton of change."""

CAN, TRAYS, BINS, PADS, FINGERS, OTHER = "can", "tray", "bin", "pad", "finger", "other"
SURFACES = (CAN, TRAYS, BINS, PADS, FINGERS, OTHER)
GROUND = "ground"  # The plane that lies under tray, bin and table alike: where it is touched says which of them sounds

BANKS: dict[frozenset[str], tuple[Mode, Mode, Mode]] = {
    # Sheet metal on a plastic tray: bright and short
    frozenset((CAN, TRAYS)): ((640, 0.020, 0.050), (1480, 0.014, 0.040), (2650, 0.008, 0.025)),
    # The bin is a box: lower, and it rings longer
    frozenset((CAN, BINS)): ((380, 0.032, 0.055), (910, 0.022, 0.040), (1750, 0.012, 0.025)),
    # Rubber damps
    frozenset((CAN, PADS)): ((240, 0.010, 0.060), (520, 0.008, 0.050), (1100, 0.005, 0.030)),
    frozenset((CAN, FINGERS)): ((800, 0.012, 0.035), (1900, 0.009, 0.030), (3100, 0.006, 0.020)),
    # Fingertips that knock on things
    frozenset((FINGERS, TRAYS)): ((470, 0.016, 0.030), (1250, 0.010, 0.025), (2200, 0.007, 0.015)),
    frozenset((FINGERS, BINS)): ((330, 0.026, 0.030), (780, 0.018, 0.025), (1600, 0.010, 0.015)),
}
DULL: tuple[Mode, Mode, Mode] = ((290, 0.010, 0.025), (700, 0.007, 0.020), (1500, 0.005, 0.010))
"""Any pair that has no bank of its own."""

TREMBLE = 0.6  # Changes of force below this are the solver's, not a knock, in newtons
HISS = 0.12  # Loudness of sliding, per watt (newton times metre per second)
COLOUR = np.array([-0.25, 0.75, -0.75, 0.25])  # Filter that makes a scrape of white noise: sliding is bright


def surface_of(geom: str) -> str:
    """Surface that a geom's name stands for: ``tray_near`` is of the tray; what is not known is ``other``."""
    kind = {"palm": FINGERS, GROUND: GROUND}.get(geom, geom.partition("_")[0])
    return kind if kind in (*SURFACES, GROUND) else OTHER


class Touches(NamedTuple):
    """Contacts of one or several physics steps, n rows each: what `Microphone` needs of them.

    motion, centre: of the two bodies, (n, 2, 6) and (n, 2, 3): angular and linear velocity at a centre, world frame.
    """

    substep: np.ndarray
    geoms: np.ndarray
    force: np.ndarray
    place: np.ndarray
    normal: np.ndarray
    motion: np.ndarray
    centre: np.ndarray


class Microphone:
    """Steps a scene and listens to it at `AUDIO_HZ`.

    What it records depends on the physics, and on what still rings. Silence (`hush`) forgets the latter: the
    physics' own state has no room for it, and half a second later it is unknown. Sliding noise comes from a
    generator seeded with the positions at the control step's start, so equal states sound alike.
    """

    def __init__(self, scene: Scene) -> None:
        """Raises ValueError where the physics step is no whole number of samples."""
        per_substep = AUDIO_HZ * float(scene.model.opt.timestep)
        if abs(per_substep - round(per_substep)) > 1e-6:
            raise ValueError(f"timestep {scene.model.opt.timestep} s is no whole number of samples at {AUDIO_HZ} Hz")
        self._scene, self._samples = scene, round(per_substep)
        model = scene.model
        known = [*SURFACES, GROUND]
        self._surface = np.array([known.index(surface_of(model.geom(i).name)) for i in range(model.ngeom)])
        self._body, self._root = np.array(model.geom_bodyid), np.array(model.body_rootid)[model.geom_bodyid]
        numbers = {pair: number for number, pair in enumerate(BANKS)}
        self._bank = np.array([[numbers.get(frozenset((a, b)), len(BANKS)) for b in SURFACES] for a in SURFACES])
        modes = np.array([*BANKS.values(), DULL])
        pitch = (2j * np.pi * modes[..., 0] - 1 / modes[..., 1]) / AUDIO_HZ
        self._course = np.exp(pitch.reshape(-1, 1) * np.arange(self._samples))
        self._onward = np.exp(pitch * self._samples)
        self._loudness = modes[..., 2]
        self.hush()

    def hush(self) -> None:
        """Begin from silence: nothing rings, and the forces of the next substep are no change."""
        self._ring = np.zeros(self._onward.shape, complex)
        self._force: np.ndarray | None = None
        self._scrape = 0.0

    def listen(self, substeps: int) -> Float[np.ndarray, " samples"]:
        """Advances the physics exactly as `mj_step` would, and returns what was heard meanwhile, float32 in [-1, 1]."""
        scene, length = self._scene, substeps * self._samples
        random = np.random.default_rng(zlib.crc32(scene.data.qpos.tobytes()))
        touches = []
        for substep in range(substeps):
            mujoco.mj_step(scene.model, scene.data)
            touches.append(self._touches(substep))
        force, power = self._felt(Touches(*map(np.concatenate, zip(*touches, strict=True))), substeps)

        change = np.diff(force, axis=0, prepend=force[:1] if self._force is None else self._force[None])
        knock = np.sign(change) * np.maximum(np.abs(change) - TREMBLE, 0)
        rings = np.empty((substeps, *self._ring.shape), complex)
        for substep in range(substeps):
            rings[substep] = self._ring + self._loudness * knock[substep, :, None]
            self._ring = rings[substep] * self._onward
        sound = (rings.reshape(substeps, -1) @ self._course).imag.ravel()

        level = np.linspace(self._scrape, power, length)
        noise = np.convolve(random.standard_normal(length + len(COLOUR) - 1), COLOUR, "valid")
        self._force, self._scrape = force[-1], power
        return np.tanh(sound + HISS * level * noise).astype(np.float32)

    def _touches(self, substep: int) -> Touches:
        """The contacts of the physics step just taken, copied: the next step overwrites them."""
        model, data = self._scene.model, self._scene.data
        contacts, count = data.contact, int(data.ncon)
        geoms, forces = contacts.geom.copy(), np.zeros((count, 6))
        for i in range(count):
            mujoco.mj_contactForce(model, data, i, forces[i])
        where = contacts.pos.copy(), contacts.frame[:, :3].copy()
        motion, centre = data.cvel[self._body[geoms]], data.subtree_com[self._root[geoms]]
        return Touches(np.full(count, substep), geoms, forces[:, 0], *where, motion, centre)

    def _felt(self, touches: Touches, substeps: int) -> tuple[np.ndarray, float]:
        """Normal force of every pair of surfaces (substeps, banks) in newtons, and power of all sliding in watts.

        A firm grip trembles within its friction cone. It does not slide: only what adds up over the control step does.
        """
        surfaces = self._surface[touches.geoms]
        surfaces = np.where(surfaces == len(SURFACES), self._ground(touches.place)[:, None], surfaces)
        bank, banks = self._bank[surfaces[:, 0], surfaces[:, 1]], len(self._onward)
        force = np.bincount(touches.substep * banks + bank, touches.force, substeps * banks)

        turn, move = touches.motion[..., :3], touches.motion[..., 3:]
        points = move + np.cross(turn, touches.place[:, None] - touches.centre)
        slide = points[:, 1] - points[:, 0]
        slide -= (slide * touches.normal).sum(-1, keepdims=True) * touches.normal
        sums = np.zeros((banks, 3))
        np.add.at(sums, bank, touches.force[:, None] * slide)
        return force.reshape(substeps, banks), float(np.sqrt((sums**2).sum(-1)).sum()) / substeps

    def _ground(self, places: np.ndarray) -> np.ndarray:
        """Number of the surface that lies on the ground at each place (n, 3); the bin may stand in the tray."""
        boxes = ((BINS, self._scene.bin), (TRAYS, self._scene.tray))
        found = [next((name for name, box in boxes if box.holds(x, y)), OTHER) for x, y, _ in places.tolist()]
        return np.array([SURFACES.index(name) for name in found], int)
