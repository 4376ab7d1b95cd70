"""Loading is timed on the same windows, with LeRobot beside it or without."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import need_lerobot
from small import small_store

from research.bench import loading
from worldmodel.data import StoreError


def test_windows_are_a_stores_own(tmp_path: Path) -> None:
    windows = loading.StoreWindows(small_store(tmp_path / "s").path)
    assert len(windows) == 33
    inside, at_the_end = windows[3], windows[18]
    assert inside["observation.images.wrist"].shape == (8, 32, 32, 3) and inside["action"].shape == (4,)
    assert inside["observation.images.scene"][:, 0, 0, 0].tolist() == list(range(3, 11))
    assert at_the_end["observation.images.scene"][:, 0, 0, 0].tolist() == [18, *[19] * 7], "never into another episode"


def test_without_lerobot_the_figure_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise StoreError("LeRobot data needs the extra")

    monkeypatch.setattr(loading, "_as_lerobot", absent)
    monkeypatch.setattr(loading, "WORKERS", 0)
    found = loading.load_speed(small_store(tmp_path / "s").path, tmp_path, 0.05)
    assert found["ours"] > 0 and found["lerobot"] is None and "needs the extra" in found["why"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_loaders_give_the_same_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_lerobot()
    monkeypatch.setattr(loading, "WORKERS", 0)
    from worldmodel.data import EpisodeStore

    store = small_store(tmp_path / "s")
    ours = loading.StoreWindows(store.path)
    theirs = loading._as_lerobot(EpisodeStore.open(store.path), ours.cameras, tmp_path / "lerobot")
    for step in (0, 11, 19, 30):
        one, other = ours[step], theirs[step]
        np.testing.assert_array_equal(one["action"], other["action"])
        for camera in ours.cameras:
            frames = other[camera].permute(0, 2, 3, 1)
            assert frames.dtype == torch.uint8
            assert (frames.float() - one[camera].float()).abs().mean() < 4, "the codec's error"
