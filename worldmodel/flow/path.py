"""One clock: noise is 0 for clean data and 1 for pure noise. This is the only place that says so.

x_noise = (1 - noise) * x + noise * eps, velocity = eps - x (Self-Flow, arXiv 2603.06507, equations 1-2 and 5, where
noise is called tau). The network predicts x; losses are taken in velocity space (JiT, arXiv 2511.13720).
"""

from jaxtyping import Float
from torch import Tensor


def mix(clean: Float[Tensor, "*s"], eps: Float[Tensor, "*s"], noise: Float[Tensor, "..."]) -> Float[Tensor, "*s"]:
    """Data at a noise level: ``clean`` at 0, ``eps`` at 1."""
    return (1 - noise) * clean + noise * eps


def velocity(clean: Float[Tensor, "*s"], eps: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Derivative of ``mix`` by noise."""
    return eps - clean


def velocity_error(
    predicted: Float[Tensor, "*s"], clean: Float[Tensor, "*s"], noise: Float[Tensor, "..."], floor: float
) -> Float[Tensor, "*s"]:
    """Squared error of the velocity that a prediction of x implies.

    From x_noise both velocities are (x_noise - x) / noise, so their difference is (x - predicted) / noise. ``noise`` is
    clamped at ``floor`` per token, because mixed noise levels put nearly clean tokens into every sample.
    """
    return ((predicted - clean) / noise.clamp(min=floor)).square()


def step(
    noisy: Float[Tensor, "*s"],
    predicted: Float[Tensor, "*s"],
    now: Float[Tensor, "..."] | float,
    then: Float[Tensor, "..."] | float,
) -> Float[Tensor, "*s"]:
    """Walk from noise level ``now`` to the lower level ``then`` along the straight line to the predicted data."""
    return predicted + (then / now) * (noisy - predicted)
