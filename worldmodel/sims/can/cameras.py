"""Cameras: a state in, uint8 pixels out, or the geom behind each: with GL, or in NumPy where there is none."""

import warnings
import weakref
from typing import Any

import numpy as np

from .backend import FORCED, RAY, gl_backend, gl_error, mujoco

MIN_SIZE, MAX_SIZE = 16, 1024  # Smallest and largest side of a camera image in pixels


def _free(renderer: Any) -> None:
    """Closes a MuJoCo renderer in its own GL context: its `close` frees buffers of whichever context is current."""
    context = getattr(renderer, "_gl_context", None)
    if context is not None:
        context.make_current()
    renderer.close()


class GLRenderer:
    """MuJoCo's own renderer with everything off that software GL makes dear: shadows, reflections, multisampling."""

    def __init__(self, model: Any, size: int, shadows: bool = False, msaa: int = 0) -> None:
        self.backend = gl_backend()
        # The samples are read once, when the drawing context is made
        model.vis.quality.offsamples = msaa
        if not shadows:
            model.vis.quality.shadowsize = 0
        self._renderer = mujoco.Renderer(model, size, size)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        # GL contexts freed while Python shuts down complain: free them before that, and as soon as none draws
        self._close = weakref.finalize(self, _free, self._renderer)

    def draw(self, data: Any, camera: str) -> np.ndarray:
        """uint8 (size, size, 3)."""
        self._renderer.update_scene(data, camera)
        return self._renderer.render()

    def geoms(self, data: Any, camera: str) -> np.ndarray:
        """Number of the geom behind each pixel, int (size, size), -1 where there is none."""
        self._renderer.enable_segmentation_rendering()
        try:
            self._renderer.update_scene(data, camera)
            found = self._renderer.render()
        finally:
            self._renderer.disable_segmentation_rendering()
        # Multisampling would mix the numbers at an edge into that of a third geom; one of another kind is none
        return np.where(found[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), found[..., 0], -1)

    def close(self) -> None:
        """Frees the GL context; safe to call twice."""
        self._close()


class RayRenderer:
    """Casts one ray per pixel: flat colours and one light, no textures and no shadows."""

    backend = RAY

    def __init__(self, model: Any, size: int) -> None:
        self._model, self._size = model, size
        self._groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
        step = (np.arange(size) + 0.5) / size * 2 - 1
        self._plane = np.stack([np.tile(step, size), np.repeat(-step, size), -np.ones(size * size)], axis=1)

    def draw(self, data: Any, camera: str) -> np.ndarray:
        model = self._model
        geoms, rays, facing = self._cast(data, camera)
        light = -model.light_dir[0] / np.linalg.norm(model.light_dir[0])
        shade = model.vis.headlight.ambient + model.vis.headlight.diffuse * np.abs((facing * rays).sum(1))[:, None]
        shade = shade + model.light_diffuse[0] * np.clip(facing @ light, 0, 1)[:, None]
        pixels = np.where(geoms[:, None] >= 0, self._colours()[geoms] * shade, [0.4, 0.46, 0.54])
        return (np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(self._size, self._size, 3)

    def geoms(self, data: Any, camera: str) -> np.ndarray:
        return self._cast(data, camera)[0].reshape(self._size, self._size)

    def _cast(self, data: Any, camera: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each pixel's ray hits: number of the geom, the ray (N, 3) and the surface's normal (N, 3)."""
        model, count = self._model, len(self._plane)
        index = model.camera(camera).id
        zoom = np.tan(np.radians(model.cam_fovy[index]) / 2)
        rays = (self._plane * [zoom, zoom, 1]) @ data.cam_xmat[index].reshape(3, 3).T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        geoms, distances, normals = np.full(count, -1, np.int32), np.zeros(count), np.zeros(3 * count)
        begin, static, no_body, found = data.cam_xpos[index], True, -1, (geoms, distances, normals)
        mujoco.mj_multiRay(model, data, begin, rays.ravel(), self._groups, static, no_body, *found, count, 10.0)
        return geoms, rays, normals.reshape(-1, 3)

    def _colours(self) -> np.ndarray:
        """RGB of each geom, from its material where it has one; textured materials get their texture's mean colour."""
        model = self._model
        colours = model.geom_rgba[:, :3].astype(float)
        for geom, material in enumerate(model.geom_matid):
            if material >= 0:
                colours[geom] = model.mat_rgba[material, :3]
                for texture in [int(one) for one in np.ravel(model.mat_texid[material]) if one >= 0][:1]:
                    start, texels = int(model.tex_adr[texture]), model.tex_height[texture] * model.tex_width[texture]
                    pixels = model.tex_data[start : start + 3 * int(texels)].reshape(-1, 3)
                    colours[geom] *= pixels.mean(axis=0) / 255
        return colours

    def close(self) -> None: ...


type Renderer = GLRenderer | RayRenderer
"""Draws one camera; ``backend`` is the name that goes into the fingerprint."""


def make_renderer(model: Any, size: int, shadows: bool = False, msaa: int = 0) -> Renderer:
    """The renderer for this machine. UserError where the user set ``MUJOCO_GL`` to one that does not work here."""
    if gl_backend() == RAY:
        return RayRenderer(model, size)
    try:
        return GLRenderer(model, size, shadows, msaa)
    except Exception as error:  # every backend fails in its own way: AttributeError, EGLError, FatalError, ImportError
        problem = gl_error(gl_backend(), error)
        if FORCED:
            raise problem from error
        warnings.warn(f"drawing with ray casts, without textures and shadows: {problem}", stacklevel=2)
        return RayRenderer(model, size)
