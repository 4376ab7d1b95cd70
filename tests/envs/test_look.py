"""Perturbations, drawing options, the renderer without GL, and errors of a broken GL."""

import os
import subprocess
import sys

import numpy as np
import pytest

from worldmodel.envs import PERTURBATIONS, make
from worldmodel.envs.backend import RAY, gl_backend
from worldmodel.envs.cameras import RayRenderer
from worldmodel.experience import STATE, image_key


@pytest.mark.parametrize("kind", PERTURBATIONS[1:])
def test_perturbation_changes_pixels_but_not_physics(kind):
    plain, changed = make("place_can", size=48), make("place_can", size=48, perturb=kind)
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


@pytest.mark.skipif(gl_backend() == RAY, reason="the ray renderer has neither shadows nor multisampling")
def test_shadows_and_multisampling_draw():
    views = []
    for options in ({}, {"shadows": True, "msaa": 4}):
        env = make("place_can", size=48, **options)
        views.append(env.reset(seed=1)[0][image_key("scene")].astype(int))
        env.close()
    assert 0.5 < np.abs(views[0] - views[1]).mean() < 40


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
from worldmodel.envs import make
env = make("place_can", size=32)
print(env.reset(seed=0)[0]["observation.images.scene"].std() > 20, env.fingerprint()["gl"])
"""


def test_without_gl_rays_take_over():
    assert in_subprocess(DRAW, MUJOCO_GL="disable").stdout.split() == ["True", "ray"]


def test_chosen_library_that_loads_but_does_not_start_gives_way():
    broken = "import ctypes; real = ctypes.CDLL\n" + (
        "def fake(name, *a, **k):\n    if name and 'EGL' in str(name): raise OSError\n"
        "    return None if name and 'OSMesa' in str(name) else real(name, *a, **k)\n"
        "ctypes.CDLL = fake\nimport worldmodel.envs.backend\nctypes.CDLL = real\n"
    )
    finished = in_subprocess(broken + DRAW)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split()[0] == "True"
    assert finished.stdout.split()[1] in ("ray", "osmesa")


def test_leaving_an_env_open_is_quiet():
    assert in_subprocess(DRAW).stderr == ""


def test_forced_backend_that_fails_is_one_line():
    finished = in_subprocess("import worldmodel.envs", MUJOCO_GL="bogus")
    last = finished.stderr.strip().splitlines()[-1]
    assert finished.returncode != 0
    assert "MUJOCO_GL='bogus' does not work here" in last
    assert "unset MUJOCO_GL" in last
