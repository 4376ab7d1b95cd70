"""The world model: modalities, a backbone and a flow. Knows neither files nor simulators."""

from worldmodel.model.records import Given, ModelConfig, Prediction, Want
from worldmodel.model.world import WorldModel

__all__ = ["Given", "ModelConfig", "Prediction", "Want", "WorldModel"]
