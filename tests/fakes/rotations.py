"""Rotations that only tests turn back into quaternions."""

import numpy as np
from scipy.spatial.transform import Rotation


def xyzw_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternions with w >= 0, (..., 3, 3) to (..., 4)."""
    flat = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_quat(canonical=True)
    return flat.reshape(*matrix.shape[:-2], 4)
