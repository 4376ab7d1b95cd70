"""Chooses how MuJoCo draws, before MuJoCo is imported: it reads ``MUJOCO_GL`` once, at its first import.

Import ``mujoco`` from here inside ``worldmodel.sims.can``, so that the choice always comes first.
"""

import contextlib
import ctypes
import importlib
import os
import sys
from typing import Any

from worldmodel.config import UserError

RAY = "ray"  # Our own NumPy renderer on MuJoCo's ray casts: slower to look at, but it needs no graphics library at all
OFF = ("disable", "disabled", "off", "false", "0")
"""Values of ``MUJOCO_GL`` with which MuJoCo loads no GL; we then draw with `RAY`."""


def _loads(*libraries: str) -> bool:
    """Whether any one of the shared libraries can be loaded."""
    for library in libraries:
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False


def _choose() -> str:
    """Value for ``MUJOCO_GL`` on Linux: EGL (PyOpenGL wants libOpenGL or libGL beside it), else OSMesa, else none."""
    if _loads("libEGL.so.1") and _loads("libOpenGL.so.0", "libGL.so.1"):
        return "egl"
    return "osmesa" if _loads("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so") else "disable"


FORCED = bool(os.environ.get("MUJOCO_GL")) and os.environ.get("WORLDMODEL_GL_CHOSEN") != os.environ["MUJOCO_GL"]
"""Whether the user chose the backend. One that was forced and fails is an error; one that we chose yields to `RAY`."""


def gl_error(backend: str, error: Exception) -> UserError:
    """The graphics library that was chosen does not work here. No class of its own: it must get out of a process."""
    lines = str(error).strip().splitlines()
    return UserError(
        f"MUJOCO_GL={backend!r} does not work here ({lines[0] if lines else type(error).__name__}), "
        "expected egl, osmesa, glfw or disable with its library installed; "
        "unset MUJOCO_GL to let worldmodel choose, or set MUJOCO_GL=disable to draw without GL"
    )


def _import_mujoco() -> Any:
    """Imports MuJoCo, once more without GL where the library that we chose loads but does not start."""
    chosen = os.environ.get("MUJOCO_GL", "")
    try:
        return importlib.import_module("mujoco")
    except Exception as error:  # each backend fails in its own way: ImportError, AttributeError, RuntimeError
        if not chosen:
            raise
        if FORCED:
            raise gl_error(chosen, error) from error
    os.environ["MUJOCO_GL"] = os.environ["WORLDMODEL_GL_CHOSEN"] = "disable"
    for name in [name for name in sys.modules if name.startswith("mujoco")]:
        # Compiled modules cannot be loaded twice and know no GL: they stay
        if not name.startswith("mujoco._"):
            del sys.modules[name]
    return importlib.import_module("mujoco")


if not FORCED and sys.platform.startswith("linux") and "mujoco" not in sys.modules:
    os.environ["MUJOCO_GL"] = os.environ["WORLDMODEL_GL_CHOSEN"] = _choose()
# More llvmpipe threads do not help at camera sizes of 64-224 px and steal cores from parallel workers
os.environ.setdefault("LP_NUM_THREADS", "0")

mujoco = _import_mujoco()


def gl_backend() -> str:
    """Name of the backend in use: ``egl``, ``osmesa``, ``glfw``, ``cgl``, ``wgl`` or ``ray``."""
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen in OFF:
        return RAY
    return chosen or {"darwin": "cgl", "win32": "wgl"}.get(sys.platform, "glfw")
