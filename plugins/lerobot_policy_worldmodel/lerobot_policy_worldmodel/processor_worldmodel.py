"""LeRobot's pre- and post-processing of a world model: names, batch axis and device. Values pass as they are."""

from __future__ import annotations

from typing import Any

from lerobot.processor import PolicyAction, PolicyProcessorPipeline, make_default_pre_post_processors
from torch import Tensor

from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig


def make_worldmodel_pre_post_processors(
    config: WorldModelConfig, dataset_stats: dict[str, dict[str, Tensor]] | None = None
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]], PolicyProcessorPipeline[PolicyAction, PolicyAction]
]:
    """Both pipelines; found by LeRobot by this function's name. Their normalisers are identities (see the config)."""
    return make_default_pre_post_processors(config, dataset_stats, normalizer_device=config.device)
