"""The network: from a sequence of tokens to features. Knows not what is being predicted."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.backbone.config import BackboneConfig

if TYPE_CHECKING:
    from worldmodel.backbone.precision import fast_dtype
    from worldmodel.backbone.transformer import Backbone, KVCache

__all__ = ["Backbone", "BackboneConfig", "KVCache", "fast_dtype"]
__getattr__ = lazy.names(__name__, precision="fast_dtype", transformer="Backbone KVCache")
