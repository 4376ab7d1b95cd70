"""The network: from a stream of tokens to features. Knows not what is being predicted."""

from worldmodel.backbone.precision import fast_dtype
from worldmodel.backbone.transformer import Backbone, BackboneConfig, Memory

__all__ = ["Backbone", "BackboneConfig", "Memory", "fast_dtype"]
