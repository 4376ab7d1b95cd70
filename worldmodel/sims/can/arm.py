"""Cartesian control: a target for the end effector becomes joint targets by damped least squares.

The arm's actuators are gravity-compensated position servos, so the controller is open loop in joint space: it tracks
its own last joint target, never the measured joints, and its whole memory is `ArmTarget`.
"""

from dataclasses import dataclass

import numpy as np

from .backend import mujoco
from .scene import MAX_WIDTH, WORKSPACE_HIGH, WORKSPACE_LOW, Scene

HOME = np.array([0.0, 0.1, 0.0, -2.2, 0.0, 2.3, 0.785398])
"""Joint angles in radians with the gripper pointing down near the middle of the workspace."""
DOWN = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
"""The one orientation of the end effector: z down, closing direction along world y."""
MAX_STEP = 0.03  # Farthest that the commanded target moves in one control step, in metres
MAX_GRIP_STEP = 0.012  # Most that the commanded opening changes in one control step, in metres
SQUEEZE = 0.03
"""How far the commanded opening may fall below the measured one, in metres: bounds the grip force (about 34 N a pad)
and lets the fingers open at once on command."""
DAMPING = 0.02
POSTURE = 0.05
"""Pull of the arm's redundant joint towards `HOME` per iteration: keeps joints a function of the target alone."""


@dataclass(frozen=True)
class ArmTarget:
    """What the controller last received: joint angles (7,), end-effector position (3,), opening in metres."""

    joints: np.ndarray
    position: np.ndarray
    width: float


class ArmController:
    """Differential inverse kinematics on scratch data, so that solving never touches the simulation."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._scratch = mujoco.MjData(scene.model)
        self._jacobian = np.zeros((6, scene.model.nv))
        limits = scene.model.jnt_range[[scene.model.joint(f"joint{i}").id for i in range(1, 8)]]
        self._low, self._high = limits[:, 0] + 0.01, limits[:, 1] - 0.01

    def solve(self, joints: np.ndarray, position: np.ndarray, iterations: int = 2) -> np.ndarray:
        """Joint angles (7,) within the joint limits that bring the end effector to ``position``, pointing down."""
        scene, scratch = self._scene, self._scratch
        joints = joints.copy()
        for _ in range(iterations):
            scratch.qpos[scene.arm_qpos] = joints
            mujoco.mj_kinematics(scene.model, scratch)
            mujoco.mj_comPos(scene.model, scratch)
            mujoco.mj_jacSite(scene.model, scratch, self._jacobian[:3], self._jacobian[3:], scene.eef_site)
            jacobian = self._jacobian[:, scene.arm_dofs]
            rotation = scratch.site_xmat[scene.eef_site].reshape(3, 3)
            turn = 0.5 * np.cross(rotation.T, DOWN.T).sum(axis=0)
            error = np.concatenate([position - scratch.site_xpos[scene.eef_site], turn])
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + DAMPING**2 * np.eye(6))
            posture = POSTURE * (HOME - joints)
            step = inverse @ error + posture - inverse @ (jacobian @ posture)
            joints = np.clip(joints + np.clip(step, -0.2, 0.2), self._low, self._high)
        return joints

    def place(self, position: np.ndarray, width: float) -> ArmTarget:
        """Sets the simulated arm at rest at ``position`` with the gripper at ``width``; returns the matching target."""
        scene = self._scene
        joints = self.solve(HOME, position, iterations=60)
        scene.data.qpos[scene.arm_qpos] = joints
        scene.data.qpos[scene.finger_qpos] = width / 2
        target = ArmTarget(joints, position.copy(), width)
        self.command(target)
        # The actuators' filters must start where the servos already are, or the arm would lurch
        scene.data.act[:] = scene.data.ctrl
        return target

    def advance(self, target: ArmTarget, action: np.ndarray) -> ArmTarget:
        """The next target for an action (4,): clipped to the workspace, and limited in speed from the last target."""
        wanted = np.clip(action[:3], WORKSPACE_LOW, WORKSPACE_HIGH) - target.position
        distance = float(np.linalg.norm(wanted))
        position = target.position + wanted * min(1.0, MAX_STEP / max(distance, 1e-9))
        opening = MAX_WIDTH * (1 - float(np.clip(action[3], -1, 1))) / 2
        width = target.width + float(np.clip(opening - target.width, -MAX_GRIP_STEP, MAX_GRIP_STEP))
        width = max(width, self._scene.width - SQUEEZE)
        return ArmTarget(self.solve(target.joints, position), position, width)

    def command(self, target: ArmTarget) -> None:
        self._scene.data.ctrl[:7] = target.joints
        self._scene.data.ctrl[7] = target.width / 2
