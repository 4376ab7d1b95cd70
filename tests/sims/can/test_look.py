"""Perturbations, drawing options, the renderer without GL, and errors of a broken GL."""

import os
import subprocess
import sys

import numpy as np
import pytest

from worldmodel.schema import STATE, image_key
from worldmodel.sims.can import PERTURBATIONS, make
from worldmodel.sims.can.backend import RAY, gl_backend
from worldmodel.sims.can.cameras import RayRenderer
from worldmodel.sims.can.perturb import DISTRACTORS

LOOKS = [(kind, "place_can") for kind in PERTURBATIONS[1:]]


@pytest.mark.parametrize(
    ("kind", "task"), [*LOOKS, ("distractor", "place_can_anywhere"), ("clutter", "place_can_anywhere")]
)
def test_perturbation_changes_pixels_but_not_physics(kind, task):
    plain, changed = make(task, size=48), make(task, size=48, perturb=kind)
    nominal, _ = plain.reset(seed=1)
    views = [changed.reset(seed=seed)[0] for seed in (1, 2, 1)]
    key = image_key("scene")
    assert not np.array_equal(views[0][key], nominal[key])
    assert np.array_equal(views[0][key], views[2][key]), "the look must follow from the seed"
    assert np.array_equal(changed.get_state(), plain.get_state())
    assert np.array_equal(views[0][STATE], nominal[STATE])
    # A frozen start keeps the state and takes its look from the seed
    restored, _ = changed.reset(seed=1, options={"state": plain.get_state()})
    assert np.array_equal(restored[key], views[0][key])
    for env in (plain, changed):
        env.close()


@pytest.mark.parametrize("task", ["place_can", "place_can_anywhere"])
def test_clutter_lies_beside_can_and_walls_and_in_the_tray_too(task):
    env, inside = make(task, render_images=False, perturb="clutter"), 0
    for seed in range(20):
        env.reset(seed=seed)
        scene = env.scene
        spots = np.array([scene.data.geom_xpos[scene.model.geom(name).id][:2] for name in DISTRACTORS])
        assert all(scene.model.geom(name).group == 0 for name in DISTRACTORS), "the cameras draw groups 0 to 2"
        assert np.linalg.norm(spots - scene.can_position[:2], axis=1).min() >= 0.07
        assert min(scene.bin.outside(*spot) for spot in spots) > 0.04
        others = np.linalg.norm(spots[:, None] - np.array([*spots, *scene.things]), axis=2)
        assert np.sort(others, axis=1)[:, 1].min() >= 0.06, "each is nearest to itself"
        inside += sum(scene.tray.holds(*spot) for spot in spots)
    assert 10 < inside < 60
    assert env.scene.sha256 == make(task, render_images=False).scene.sha256


def test_cameras_move_within_their_bounds():
    env = make("place_can", render_images=False)
    for kind, metres, degrees in (("camera", 0.015, 2.0), ("camera_far", 0.04, 5.0)):
        moved, farthest = make("place_can", render_images=False, perturb=kind), np.zeros(2)
        for seed in range(20):
            moved.reset(seed=seed)
            away = np.abs(moved.scene.model.cam_pos - env.scene.model.cam_pos).max()
            cosine = np.abs((moved.scene.model.cam_quat * env.scene.model.cam_quat).sum(axis=1)).min()
            farthest = np.maximum(farthest, [away / metres, 2 * np.degrees(np.arccos(min(cosine, 1))) / degrees])
        assert (farthest <= [1, np.sqrt(3)]).all()
        assert (farthest > [0.9, 0.9]).all()


@pytest.mark.skipif(gl_backend() == RAY, reason="the ray renderer has neither shadows nor multisampling")
def test_shadows_and_multisampling_draw():
    views = []
    for options in ({}, {"shadows": True, "msaa": 4}):
        env = make("place_can", size=48, **options)
        views.append(env.reset(seed=1)[0][image_key("scene")].astype(int))
        env.close()
    assert 0.5 < np.abs(views[0] - views[1]).mean() < 40


def test_closing_one_env_leaves_the_pictures_of_others_alone():
    first, second = make("place_can", size=32), make("place_can", size=32)
    first.reset(seed=1)
    before, _ = second.reset(seed=1)
    first.close()
    after = second.observe()
    third = make("place_can", size=32)
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert np.array_equal(third.reset(seed=1)[0][image_key("scene")], before[image_key("scene")])
    for env in (first, second, third):
        env.close()


def test_ray_renderer_sees_what_gl_sees():
    env = make("place_can", size=48)
    observation, _ = env.reset(seed=1)
    for camera in ("scene", "wrist"):
        rays = RayRenderer(env.scene.model, 48).draw(env.scene.data, camera)
        assert rays.dtype == np.uint8
        assert np.abs(rays.astype(int) - observation[image_key(camera)]).mean() < 20
    env.close()


def in_subprocess(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "WORLDMODEL_GL_CHOSEN")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False, timeout=60)


DRAW = """
from worldmodel.sims.can import make
env = make("place_can", size=32)
print(env.reset(seed=0)[0]["observation.images.scene"].std() > 20, env.fingerprint()["gl"])
"""


def test_without_gl_rays_take_over():
    assert in_subprocess(DRAW, MUJOCO_GL="disable").stdout.split() == ["True", "ray"]


def test_chosen_library_that_loads_but_does_not_start_gives_way():
    broken = "import ctypes; real = ctypes.CDLL\n" + (
        "def fake(name, *a, **k):\n    if name and 'EGL' in str(name): raise OSError\n"
        "    return None if name and 'OSMesa' in str(name) else real(name, *a, **k)\n"
        "ctypes.CDLL = fake\nimport worldmodel.sims.can.backend\nctypes.CDLL = real\n"
    )
    finished = in_subprocess(broken + DRAW)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split()[0] == "True"
    assert finished.stdout.split()[1] in ("ray", "osmesa")


def test_leaving_an_env_open_is_quiet():
    assert in_subprocess(DRAW).stderr == ""


def test_forced_backend_that_fails_is_one_line():
    finished = in_subprocess("import worldmodel.sims.can", MUJOCO_GL="bogus")
    last = finished.stderr.strip().splitlines()[-1]
    assert finished.returncode != 0
    assert "MUJOCO_GL='bogus' does not work here" in last
    assert "unset MUJOCO_GL" in last
