"""The options of the modalities beside frames and actions that `worldmodel.modalities` lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldmodel.modalities import LISTED

if TYPE_CHECKING:
    from worldmodel.tokens.signal import SignalConfig


def config_of(name: str, values: Mapping[str, Any]) -> SignalConfig:
    """The options of a listed modality. Raises ValueError for an unknown modality or option."""
    if name not in LISTED:
        raise ValueError(f"modalities.{name}: no such modality; expected {', '.join(LISTED)}")
    module, _, kind = LISTED[name].partition(":")
    found: type[SignalConfig] = getattr(import_module(module), kind)
    return found.of(dict(values))


def complete(modalities: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The same modalities with all their options, in JSON's types.

    True stands for a modality with all defaults; False and None turn one off.
    """
    chosen = {name: value for name, value in modalities.items() if value is not None and value is not False}
    return {name: asdict(config_of(name, {} if value is True else value)) for name, value in chosen.items()}
