"""Policies: a model, or anything else, that observes and acts. Knows no env."""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.policies.model_policy import ModelPolicy

__all__ = ["ModelPolicy"]
__getattr__ = lazy.names(__name__, model_policy="ModelPolicy")
