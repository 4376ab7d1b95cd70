"""Policies: a model (or anything else) that looks and acts. Knows no env."""

from worldmodel.policies.model_policy import ModelPolicy

__all__ = ["ModelPolicy"]
