"""Rotations, scales and signs of other people's data, against closed forms."""

import json

import numpy as np
import pytest
from rotations import xyzw_from_matrix

from worldmodel.data.formats import conventions as c

HALF = np.sqrt(0.5)
QUARTER_Z = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.fixture
def quaternions():
    values = np.random.default_rng(0).normal(size=(200, 4))
    values[0], values[1], values[2], values[3] = [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1e-9]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(values[:, 3:] < 0, -values, values)


def test_orders_of_quaternions():
    assert c.xyzw_from_wxyz(np.array([1, 2, 3, 4])).tolist() == [2, 3, 4, 1]


def test_a_quarter_turn_about_z_in_every_notation():
    np.testing.assert_allclose(c.matrix_from_xyzw(np.array([0, 0, HALF, HALF])), QUARTER_Z, atol=1e-15)
    np.testing.assert_allclose(c.matrix_from_axis_angle(np.array([0, 0, np.pi / 2])), QUARTER_Z, atol=1e-15)
    np.testing.assert_allclose(c.axis_angle_from_matrix(QUARTER_Z), [0, 0, np.pi / 2], atol=1e-15)
    np.testing.assert_allclose(xyzw_from_matrix(QUARTER_Z), [0, 0, HALF, HALF], atol=1e-15)
    np.testing.assert_array_equal(c.six_from_matrix(QUARTER_Z), [0, 1, 0, -1, 0, 0])  # columns, not rows


def test_matrices_are_proper_rotations_and_come_back(quaternions):
    matrices = c.matrix_from_xyzw(quaternions)
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1, atol=1e-14)
    np.testing.assert_allclose(c.matrix_from_xyzw(xyzw_from_matrix(matrices)), matrices, atol=1e-14)
    np.testing.assert_allclose(c.matrix_from_axis_angle(c.axis_angle_from_matrix(matrices)), matrices, atol=1e-14)
    np.testing.assert_allclose(c.matrix_from_six(c.six_from_matrix(matrices)), matrices, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 1e-3, 3.0, np.pi - 1e-9])
def test_axis_angle_is_exact_near_no_turn_and_half_a_turn(angle):
    axis = np.array([2.0, -1, 2]) / 3
    np.testing.assert_allclose(
        c.axis_angle_from_matrix(c.matrix_from_axis_angle(axis * angle)), axis * angle, atol=2e-15
    )


def test_rotation_of_a_vector_follows_rodrigues():
    axis, angle, v = np.array([0.6, 0, 0.8]), 0.7, np.array([0.3, -1, 2])
    expected = v * np.cos(angle) + np.cross(axis, v) * np.sin(angle) + axis * (axis @ v) * (1 - np.cos(angle))
    np.testing.assert_allclose(c.matrix_from_axis_angle(axis * angle) @ v, expected, atol=1e-15)


def test_gram_schmidt_keeps_the_first_direction():
    matrix = c.matrix_from_six(np.array([2.0, 0, 0, 5, 3, 0]))
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-15)


def test_osc_scales_and_clips():
    osc = c.OscPose()
    np.testing.assert_allclose(osc.scaled(np.array([1, -0.5, 0, 1, -1, 0.2, 1.0])), [0.05, -0.025, 0, 0.5, -0.5, 0.1])
    np.testing.assert_allclose(osc.scaled(np.array([3.0, -9, 0, 0, 0, 0, 0]))[:2], [0.05, -0.05])
    np.testing.assert_allclose(osc.unscaled(np.array([0.05, 0.2, 0, 0, -0.25, -9])), [1, 1, 0, 0, -0.5, -1])
    uneven = c.OscPose(least=(0, 0, 0, -1, -1, -1), most=(0.1,) * 3 + (1.0,) * 3)
    np.testing.assert_allclose(uneven.scaled(np.array([-1, 0, 1, 0, 0, 0, 0]))[:3], [0, 0.05, 0.1])


@pytest.mark.parametrize("frame", ["world", "base"])
def test_deltas_to_targets_and_back(frame, quaternions):
    osc, random = c.OscPose(frame=frame), np.random.default_rng(1)
    actions, position = random.uniform(-1, 1, (200, 7)), random.normal(size=(200, 3))
    matrices = c.matrix_from_xyzw(quaternions)
    targets = osc.targets(actions, position, matrices, QUARTER_Z)
    np.testing.assert_allclose(osc.deltas(targets, position, matrices, QUARTER_Z), actions, atol=1e-12)
    np.testing.assert_allclose(c.ten_from_absolute(c.absolute_from_ten(targets)), targets, atol=1e-12)


def test_frames_of_reference():
    ahead = np.array([1.0, 0, 0, 0, 0, 1.0, -1])  # 5 cm along x, half a radian about z
    in_world = c.OscPose(frame="world").targets(ahead, np.zeros(3), np.eye(3), QUARTER_Z)
    in_base = c.OscPose(frame="base").targets(ahead, np.zeros(3), np.eye(3), QUARTER_Z)
    np.testing.assert_allclose(in_world[:3], [0.05, 0, 0], atol=1e-15)
    np.testing.assert_allclose(in_base[:3], [0, 0.05, 0], atol=1e-15)  # the base's x is the world's y
    np.testing.assert_allclose(in_world[3:9], in_base[3:9], atol=1e-15)  # both turn about the common z
    tilt = np.array([0.0, 0, 0, 1, 0, 0, -1])
    turned = c.matrix_from_six(c.OscPose(frame="base").targets(tilt, np.zeros(3), np.eye(3), QUARTER_Z)[3:9])
    np.testing.assert_allclose(turned, c.matrix_from_axis_angle(np.array([0, 0.5, 0])), atol=1e-15)


def test_the_turn_is_applied_in_the_frame_of_reference_not_the_hands():
    hand = c.matrix_from_axis_angle(np.array([np.pi, 0, 0]))
    target = c.OscPose(frame="world").targets(np.array([0, 0, 0, 0, 0, 1.0, 0]), np.zeros(3), hand, np.eye(3))
    np.testing.assert_allclose(
        c.matrix_from_six(target[3:9]), c.matrix_from_axis_angle(np.array([0, 0, 0.5])) @ hand, atol=1e-15
    )


def test_controllers_of_both_generations():
    old = {
        "type": "OSC_POSE",
        "output_max": [0.05] * 3 + [0.5] * 3,
        "output_min": [-0.05] * 3 + [-0.5] * 3,
        "control_delta": False,
    }
    assert c.OscPose.of(json.dumps({"env_kwargs": {"controller_configs": old}})) == c.OscPose(
        frame="world", kind="absolute"
    )
    new = {"body_parts": {"right": {"type": "OSC_POSE", "input_max": 1, "input_min": -1, "input_type": "delta"}}}
    assert c.OscPose.of(json.dumps({"env_kwargs": {"controller_configs": new}})) == c.OscPose()
    new["body_parts"]["right"]["input_ref_frame"] = "world"
    assert c.OscPose.of(json.dumps({"env_kwargs": {"controller_configs": new}})).frame == "world"
    with pytest.raises(ValueError, match="expected 'OSC_POSE'"):
        c.OscPose.of(json.dumps({"env_kwargs": {"controller_configs": {"type": "JOINT_POSITION"}}}))
