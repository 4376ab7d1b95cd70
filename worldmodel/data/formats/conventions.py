"""Conventions of other people's robot data as pure functions on NumPy arrays: rotations and action scales.

Rotations carry a frame's axes as matrix columns, float64 (..., 3, 3). Quaternions say their order in the name:
robosuite and ROS write x y z w, MuJoCo w x y z. "Axis-angle" is axis times angle in radians, (..., 3). The 6-D
rotation is the matrix's first two *columns* one after the other (Zhou et al. 2019); pytorch3d and with it Diffusion
Policy take the first two *rows*, which is the 6-D rotation of the transpose.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

OPEN, CLOSE = -1.0, 1.0  # Gripper commands, robosuite's and ours


def xyzw_from_wxyz(quaternion: np.ndarray) -> np.ndarray:
    """MuJoCo's order to robosuite's, (..., 4)."""
    return np.roll(quaternion, -1, axis=-1)


def matrix_from_xyzw(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion of any length but zero, (..., 4) to (..., 3, 3)."""
    return _each(quaternion, 1, lambda rows: Rotation.from_quat(rows).as_matrix())


def matrix_from_axis_angle(vector: np.ndarray) -> np.ndarray:
    """(..., 3) in radians to (..., 3, 3)."""
    return _each(vector, 1, lambda rows: Rotation.from_rotvec(rows).as_matrix())


def axis_angle_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 3), angle in [0, pi] radians."""
    return _each(matrix, 2, lambda rows: Rotation.from_matrix(rows).as_rotvec())


def _each(values: np.ndarray, axes: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """SciPy's rotations, which have one leading axis, for any number of them; ``axes`` of ``values`` hold one each."""
    values = np.asarray(values, np.float64)
    lead = values.shape[: values.ndim - axes]
    out = change(values.reshape(-1, *values.shape[values.ndim - axes :]))
    return out.reshape(*lead, *out.shape[1:])


def six_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """The first two columns one after the other, (..., 3, 3) to (..., 6)."""
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def matrix_from_six(six: np.ndarray) -> np.ndarray:
    """The rotation nearest in Gram-Schmidt's sense: the first column's direction is kept. (..., 6) to (..., 3, 3)."""
    six = np.asarray(six, np.float64)
    first = six[..., :3] / np.linalg.norm(six[..., :3], axis=-1, keepdims=True)
    second = six[..., 3:] - first * (first * six[..., 3:]).sum(-1, keepdims=True)
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


@dataclass(frozen=True)
class OscPose:
    """robosuite's OSC_POSE controller as far as actions go: 3 position, 3 axis-angle and 1 gripper number.

    low, high: range of an action's first six numbers, which are clipped to it. most: what ``high`` stands for, metres
    (3) and radians (3) for deltas. frame: whether deltas are along the world's axes or those of the robot's base.
    kind: whether actions are deltas from the achieved pose or absolute poses.
    """

    low: tuple[float, ...] = (-1.0,) * 6
    high: tuple[float, ...] = (1.0,) * 6
    least: tuple[float, ...] = (-0.05, -0.05, -0.05, -0.5, -0.5, -0.5)
    most: tuple[float, ...] = (0.05, 0.05, 0.05, 0.5, 0.5, 0.5)
    frame: Literal["world", "base"] = "base"
    kind: Literal["delta", "absolute"] = "delta"

    @staticmethod
    def of(env_args: str) -> "OscPose":
        """The controller that a robomimic file's ``env_args`` (JSON text) describes, robosuite 1.4's or 1.5's layout.

        Raises ValueError where it is no OSC_POSE.
        """
        parsed = json.loads(env_args)
        controller, old = _controller(parsed)
        if (kind := controller.get("type")) != "OSC_POSE":
            raise ValueError(f"controller {kind!r} in env_args, expected 'OSC_POSE'; keep actions=recorded")
        defaults = {"input_min": -1, "input_max": 1, "output_min": OscPose.least, "output_max": OscPose.most}
        ranges = [np.broadcast_to(controller.get(key, value), 6) for key, value in defaults.items()]
        # 1.4 knew no reference frame (world); 1.5 says input_ref_frame
        frame = controller.get("input_ref_frame", "world" if old else "base")
        low, high, least, most = (tuple(map(float, edge)) for edge in ranges)
        return OscPose(low, high, least, most, frame, "delta" if deltas_by(parsed) else "absolute")

    def scaled(self, actions: np.ndarray) -> np.ndarray:
        """The first six numbers in metres and radians, (..., 7) to (..., 6): clipped to the range, then scaled."""
        numbers = np.clip(np.asarray(actions, np.float64)[..., :6], self.low, self.high)
        return _between(numbers, self.low, self.high, self.least, self.most)

    def unscaled(self, metres: np.ndarray) -> np.ndarray:
        """Inverse of `scaled`, (..., 6); what is beyond the controller's reach is clipped."""
        metres = np.asarray(metres, np.float64)[..., :6]
        return np.clip(_between(metres, self.least, self.most, self.low, self.high), self.low, self.high)

    def targets(self, actions: np.ndarray, position: np.ndarray, matrix: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Delta actions (..., 7) as absolute targets (..., 10): position, 6-D rotation, gripper; world frame.

        position (..., 3), matrix (..., 3, 3): pose of the controlled site when the action was taken, world frame.
        base (3, 3): orientation of the robot's base in the world, used where ``frame`` is "base".
        """
        delta = self.scaled(actions)
        axes = base if self.frame == "base" else np.eye(3)
        turn = axes @ matrix_from_axis_angle(delta[..., 3:]) @ axes.T
        goal = position + delta[..., :3] @ axes.T
        return np.concatenate([goal, six_from_matrix(turn @ matrix), np.asarray(actions)[..., 6:7]], axis=-1)

    def deltas(self, targets: np.ndarray, position: np.ndarray, matrix: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Inverse of `targets`: the delta action (..., 7) that leads to a target (..., 10), clipped to the range."""
        axes = base if self.frame == "base" else np.eye(3)
        move = (np.asarray(targets, np.float64)[..., :3] - position) @ axes
        turn = axes.T @ matrix_from_six(targets[..., 3:9]) @ np.swapaxes(matrix, -1, -2) @ axes
        delta = np.concatenate([move, axis_angle_from_matrix(turn)], axis=-1)
        return np.concatenate([self.unscaled(delta), np.clip(targets[..., 9:10], OPEN, CLOSE)], axis=-1)


def _between(values: np.ndarray, low: Any, high: Any, least: Any, most: Any) -> np.ndarray:
    """The linear map that takes ``low`` to ``least`` and ``high`` to ``most``."""
    low, high, least, most = map(np.asarray, (low, high, least, most))
    return np.asarray((values - (high + low) / 2) * (most - least) / (high - low) + (most + least) / 2)


def absolute_from_ten(targets: np.ndarray) -> np.ndarray:
    """Targets (..., 10) as robosuite's own absolute actions (..., 7): position, axis-angle, gripper."""
    turn = axis_angle_from_matrix(matrix_from_six(targets[..., 3:9]))
    return np.concatenate([targets[..., :3], turn, targets[..., 9:10]], axis=-1)


def ten_from_absolute(actions: np.ndarray) -> np.ndarray:
    """robosuite's absolute actions (..., 7) as targets (..., 10): position, 6-D rotation, gripper."""
    six = six_from_matrix(matrix_from_axis_angle(actions[..., 3:6]))
    return np.concatenate([actions[..., :3], six, actions[..., 6:7]], axis=-1)


def relative_dimensions(action: np.ndarray, state: np.ndarray) -> int:
    """How many leading dimensions of ``action`` (T, A) are targets for the same dimensions of ``state`` (T, S).

    Such a dimension stays nearer to the state's than it wanders itself.
    """
    if action.ndim != 2 or state.ndim != 2:
        return 0
    both = min(action.shape[1], state.shape[1])
    wander = action[:, :both].astype(np.float64).std(axis=0)
    apart = (action[:, :both].astype(np.float64) - state[:, :both]).std(axis=0)
    return int(np.cumprod((wander > 0) & (apart < 0.5 * wander)).sum())


def deltas_by(env_args: dict[str, Any]) -> bool:
    """Whether parsed ``env_args`` name a controller of deltas; robosuite's do unless they say otherwise."""
    controller, old = _controller(env_args)
    if "type" not in controller:
        return False
    # 1.4 had control_delta, 1.5 says input_type
    return bool(controller.get("control_delta", True) if old else controller.get("input_type", "delta") == "delta")


def _controller(env_args: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The arm's controller settings, and whether they are in robosuite 1.4's layout."""
    configs: Any = (env_args.get("env_kwargs") or {}).get("controller_configs") or {}
    configs = configs[0] if isinstance(configs, list) and configs else configs
    parts = configs.get("body_parts")
    if parts is None:
        return configs, True
    return parts.get("right", next(iter(parts.values()))), False
