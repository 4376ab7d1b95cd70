"""Features of a pretrained encoder, from ``worldmodel encode``: an EpisodeStore with the same episodes.

Array ``features.<camera>``, float16 (T, N, E): N positions of the model's grid row by row, E channels. The provenance's
recipe names the data (by fingerprint) and the encoder.
"""

from collections.abc import Sequence
from typing import Any

from worldmodel.data.layout import StoreError, feature_key
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import image_key


def recipe_of(features: EpisodeStore) -> dict[str, Any]:
    """What made a store of features: "data" (fingerprint), "encoder", "weights" (SHA-256), "frame" (side in
    pixels), "grid" and more."""
    recipe = features.meta["provenance"].get("recipe") or {}
    if "encoder" not in recipe or "data" not in recipe:
        raise StoreError(f"{features.path} holds no features; make them with `worldmodel encode`")
    return dict(recipe)


def open_features(
    folders: str, stores: Sequence[EpisodeStore], cameras: Sequence[str], grid: int
) -> list[EpisodeStore]:
    """The features of each store, in the stores' order.

    folders: of ``worldmodel encode``, one per store in any order, separated by commas. cameras: of the model. grid:
    its patches along a side. Raises StoreError (one line) where they do not fit the stores and the model.
    """
    made = [EpisodeStore.open(folder) for folder in folders.split(",")]
    by_data = {recipe_of(features)["data"]: features for features in made}
    chosen = []
    for store in stores:
        if (features := by_data.get(store.fingerprint)) is None:
            raise StoreError(
                f"features={folders} were not made from {store.path} (its fingerprint is {store.fingerprint[:12]}, "
                f"theirs are of {', '.join(key[:12] for key in by_data)}); run `worldmodel encode data={store.path}`"
            )
        _check(features, store, cameras, grid)
        chosen.append(features)
    if len({(r["encoder"], r["weights"], r["detail"]) for r in map(recipe_of, chosen)}) > 1:
        raise StoreError(f"features={folders} come from different encoders; encode all stores with one")
    return chosen


def channels_of(features: EpisodeStore) -> int:
    """E, channels of a feature."""
    return features.row(features.keys[0])[-1]


def _check(features: EpisodeStore, store: EpisodeStore, cameras: Sequence[str], grid: int) -> None:
    if missing := [camera for camera in cameras if feature_key(camera) not in features.keys]:
        raise StoreError(f"{features.path} lacks features of camera {missing[0]!r}; it has {', '.join(features.keys)}")
    recipe, side = recipe_of(features), store.row(image_key(cameras[0]))[0]
    if recipe["frame"] != side:
        raise StoreError(f"{features.path} was made with frames of {recipe['frame']} pixels, not {side}; encode again")
    if (theirs := recipe["grid"]) != grid:
        raise StoreError(f"{features.path} has {theirs} x {theirs} features a frame, the model {grid} x {grid} patches")
    if features.ends.tolist() != store.ends.tolist():
        raise StoreError(f"{features.path} and {store.path} differ in the length of their episodes; encode again")
