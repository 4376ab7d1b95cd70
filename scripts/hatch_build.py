"""What the code reads travels in the wheel, under ``worldmodel/_assets``, where ``worldmodel.assets`` looks first.

A hook rather than a ``force-include`` table, because that table also copies into editable installs, where a second
set of scenes and protocols would grow stale.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("checkpoints", "configs", "envs", "eval")


class ShipAssets(BuildHookInterface):  # type: ignore[misc]  # hatchling has no types
    """Adds the content folders to a real wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend ``force_include`` of ``build_data`` unless ``version`` is "editable"."""
        if version != "editable":
            present = (name for name in FOLDERS if Path(self.root, name).is_dir())
            build_data["force_include"].update({str(Path(self.root, n)): f"worldmodel/_assets/{n}" for n in present})
