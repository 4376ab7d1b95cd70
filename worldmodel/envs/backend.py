"""Chooses how MuJoCo draws, before MuJoCo is imported: it reads ``MUJOCO_GL`` once, at its first import.

Import ``mujoco`` from here inside ``worldmodel.envs``, so that the choice always comes first.
"""

from __future__ import annotations

import ctypes
import os
import sys

RAY = "ray"
"""Our own NumPy renderer on MuJoCo's ray casts: slower to look at, but it needs no graphics library at all."""
OFF = ("disable", "disabled", "off", "false", "0")
"""Values of ``MUJOCO_GL`` with which MuJoCo loads no GL; we then draw with `RAY`."""


def _loads(*libraries: str) -> bool:
    """Whether any one of the shared libraries can be loaded."""
    for library in libraries:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


def _choose() -> str:
    """Value for ``MUJOCO_GL`` on Linux: EGL (PyOpenGL wants libOpenGL or libGL beside it), else OSMesa, else none."""
    if _loads("libEGL.so.1") and _loads("libOpenGL.so.0", "libGL.so.1"):
        return "egl"
    return "osmesa" if _loads("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so") else "disable"


FORCED = bool(os.environ.get("MUJOCO_GL")) and os.environ.get("WORLDMODEL_GL_CHOSEN") != os.environ["MUJOCO_GL"]
"""Whether the user chose the backend. One that was forced and fails is an error; one that we chose gives way to `RAY`."""

if not FORCED and sys.platform.startswith("linux") and "mujoco" not in sys.modules:
    os.environ["MUJOCO_GL"] = os.environ["WORLDMODEL_GL_CHOSEN"] = _choose()
# More llvmpipe threads do not help at camera sizes of 64-224 px and steal cores from parallel workers
os.environ.setdefault("LP_NUM_THREADS", "0")

import mujoco  # noqa: E402  (the environment variables above must come first)

__all__ = ["FORCED", "OFF", "RAY", "gl_backend", "mujoco"]


def gl_backend() -> str:
    """Name of the backend in use: ``egl``, ``osmesa``, ``glfw``, ``cgl``, ``wgl`` or ``ray``."""
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen in OFF:
        return RAY
    return chosen or {"darwin": "cgl", "win32": "wgl"}.get(sys.platform, "glfw")
