"""Policies: a model (or anything else) that looks and acts. Knows no env."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.policies.model_policy import ModelPolicy

__all__ = ["ModelPolicy"]


def __getattr__(name: str) -> Any:
    """The policy, loaded when asked for: who reads a config needs no torch."""
    if name != "ModelPolicy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.policies.model_policy import ModelPolicy

    return ModelPolicy
