"""What is said of held-out episodes is what the checkpoint's record says, not what was asked for."""

import numpy as np
import pytest

from worldmodel import checkpoint
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.imagine import modes
from worldmodel.schema import ACTION, STATE, Episode


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Forty short episodes."""
    path = tmp_path_factory.mktemp("holdout") / "s"
    with EpisodeStore.create(path, {}) as writer:
        for seed in range(40):
            arrays = {STATE: np.zeros((3, 4), np.float32), ACTION: np.zeros((3, 4), np.float32)}
            writer.append(Episode(arrays, "place_can", seed, True))
        writer.seal()
    return EpisodeStore.open(path)


@pytest.mark.parametrize(
    ("train", "holdout", "told"),
    [
        ({"holdout": 0.02}, 0.5, "trained on 19 of these 20 episodes; the last 1 of 40 were kept out (holdout=0.02)."),
        ({"holdout": 0.02}, 0.025, "on none of these 1 episodes."),
        ({"holdout": 0.5}, 0.5, "on none of these 20 episodes."),
        ({"holdout": 0.0}, 0.5, "trained on 20 of these 20 episodes; none kept out."),
        ({"holdout": 0.02}, 0.0, "trained on 39 of these 40 episodes"),
        ({"holdout": 0.0, "demonstrations": 10}, 0.5, "on none of these 20 episodes."),
        ({"holdout": 0.0, "demonstrations": 30}, 0.5, "trained on 10 of these 20 episodes; the last 10 of 40"),
        ({}, 0.5, "its record does not say which episodes were kept out."),
    ],
)
def test_episodes_that_were_trained_on_are_counted(
    store: EpisodeStore, train: dict[str, float], holdout: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"provenance": {"data": [{"fingerprint": store.fingerprint}], "train": train}}
    monkeypatch.setattr(checkpoint, "card", lambda name: made)
    assert told in modes.seen_in_training("any", store, holdout)


def test_another_store_is_not_spoken_of(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "card", lambda name: {"provenance": {"data": [{"fingerprint": "0"}, None]}})
    assert modes.seen_in_training("any", store, 0.5) == ""


def test_a_share_of_no_episode_is_refused_with_one_that_is(store: EpisodeStore) -> None:
    spec = ClipSpec((), 4, ("place_can",))
    with pytest.raises(ValueError, match=r"holdout=0.01 of 40 is none: holdout=0.025 keeps one, 0 takes all"):
        Clips([store], spec, 0.01, "held out")
