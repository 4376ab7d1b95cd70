"""Somebody else's env through the verbs: collect, store, clips, starts, evaluate. A wrong count is an error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tinygym import LOW, TASK, Counter, action_at, frame_at, length_of, succeeds

import worldmodel
from worldmodel import cli
from worldmodel.collect import CollectConfig, collect
from worldmodel.collect.demonstrate import demonstrate
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, verify
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate, run, settle
from worldmodel.evaluate.initial_states import Starts, StartsError
from worldmodel.evaluate.starts import FIRST_SEED, StartsConfig, freeze, starts
from worldmodel.policies.load import LoadedPolicy
from worldmodel.schema import ACTION, EXECUTED, STATE, image_key
from worldmodel.sims.base import SEED, SimulatorSpec
from worldmodel.sims.gymnasium.experts import RandomPolicy
from worldmodel.sims.gymnasium.name import without_rule
from worldmodel.sims.make import make, open_slot

EYE = image_key("eyes.left")


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("starts") / "s.npz"
    assert starts(StartsConfig(out=str(path), task=TASK, episodes=6, seed=3)) == 0
    return path


def test_what_is_collected_is_what_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = CollectConfig(out=str(tmp_path / "s"), task=TASK, episodes=4, seed=1, noise=0, size=16, workers="1")
    assert collect(wanted) == 0
    assert "25 Hz (metadata render_fps)" in capsys.readouterr().out
    store = EpisodeStore.open(tmp_path / "s")
    assert store.seeds.tolist() == [1, 2, 4, 5] and store.meta["dropped_seeds"] == [3] and verify(store.path) == []
    assert store.rate == 25 and store.relative == 2, "actions begin with what the state begins with"
    assert store.meta["provenance"]["action_range"]["low"] == LOW.tolist()
    for index, seed in enumerate(store.seeds.tolist()):
        episode = store.episode(index)
        assert len(episode) == length_of(seed), "an env that ended the episode is not stepped any further"
        for step in range(len(episode)):
            np.testing.assert_array_equal(episode.arrays[EYE][step], frame_at(seed, step, 16, 16))
            assert episode.arrays[STATE][step].tolist() == [seed, step, step % 3]
            for key in (ACTION, EXECUTED):
                np.testing.assert_array_equal(episode.arrays[key][step], action_at(seed, step))
    clips = Clips([store], ClipSpec(("eyes.left",), 4, (TASK,)))
    clip = clips.gather(np.array([2, 7]), np.array([[1], [2]]))
    assert clip.state[:, 0].tolist() == [1, 2] and clip.future[0, 0, 0, 0, 0].tolist() == [1, 3, 7]
    assert collect(wanted) == 0 and "nothing to do" in capsys.readouterr().out


def test_starts_are_seeds_that_are_checked(frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Starts.load(frozen)
    assert read.kind == SEED and read.task == TASK and min(read.seeds) >= FIRST_SEED[SEED] and max(read.seeds) < 2**32
    again = freeze(make(SimulatorSpec(TASK)), 6, seed=3)
    assert again.sha256 == read.sha256 and freeze(make(SimulatorSpec(TASK)), 6, seed=4).sha256 != read.sha256
    slot, start = open_slot(SimulatorSpec(TASK, size=16)), read.first(1)[0]
    moment = slot.begin(start)
    assert moment.observation is not None and moment.observation[EYE].shape == (16, 16, 3)
    monkeypatch.setenv("TINYGYM_WORLD", "1")
    with pytest.raises(ValueError, match="is another one here than when it was frozen"):
        slot.begin(start)
    with pytest.raises(StartsError, match="gives another start each time"):
        freeze(make(SimulatorSpec(f"{TASK}?careless=true")), 2, seed=0)
    with pytest.raises(UserError, match="expected 0 to 2046"):
        starts(StartsConfig(out=str(tmp_path / "more.npz"), task=TASK, episodes=2, seed=2047))


def test_a_policy_that_counts_passes(frozen: Path, tmp_path: Path) -> None:
    read = Starts.load(frozen)
    options = {"task": TASK, "episodes": 6, "batch": 2, "workers": 1, "videos": 1, "n_action_steps": 4}
    config = EvaluateConfig(out=str(tmp_path), starts=str(frozen), **options)
    loaded = LoadedPolicy(Counter(), "counter", "0" * 64, ("eyes.left",), 16)
    assert run(settle(config, loaded, read, frozen)) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    seeds = [seed % 1000 for seed in read.seeds]
    assert found["successes"] == sum(map(succeeds, seeds)) and found["episodes"] == 6
    assert found["best_reward"] == {"mean": 1.0, "interval": [1.0, 1.0]}
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    by_episode = {line["episode"]: line for line in lines}
    for index, seed in enumerate(seeds):
        steps = length_of(seed) if succeeds(seed) else 40
        assert by_episode[index]["steps"] == by_episode[index]["return"] == steps
        assert by_episode[index]["seconds"] == steps / 25 and by_episode[index]["best_reward"] == 1
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 1
    size = (tmp_path / "episodes.jsonl").stat().st_size
    assert run(settle(config, loaded, read, frozen)) == 0, "finished episodes are kept"
    assert (tmp_path / "episodes.jsonl").stat().st_size == size


def test_chance_and_a_policy_may_demonstrate() -> None:
    simulator = make(SimulatorSpec(TASK, size=16))
    chance: Any = simulator.expert(1, name="random")
    assert chance.make is RandomPolicy

    class Batched(Counter):
        def act(self, observations: object, seeds: np.ndarray) -> np.ndarray:
            return super().act(observations)

    recipe = CollectConfig(out="x", task=TASK, size=16).recipe()
    episode = demonstrate(simulator, recipe, 6, Batched())
    assert episode.success and len(episode) == length_of(6)
    for step in range(len(episode)):
        for key in (ACTION, EXECUTED):
            np.testing.assert_array_equal(episode.arrays[key][step], action_at(6, step))


def refused(expected: str, **options: object) -> None:
    with pytest.raises((UserError, ValueError), match=expected) as told:
        collect(CollectConfig(**{"out": "unused", "task": TASK, **options}))  # type: ignore[arg-type]
    assert "\n" not in str(told.value) and not Path("unused").exists()


def test_bad_input_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused("did you mean 'Reacher-v5'", task="gym:Reecher-v5")
    refused("has no scripted expert .*give expert=random", task="gym:Pendulum-v1")
    refused("expected scripted, random or the folder of a checkpoint", expert="nowhere")
    refused("one env at a time", task=f"[{TASK},place_can]")
    refused("task=lift_can: has no random expert .*give expert=scripted", task="lift_can", expert="random")
    assert cli.main(["collect", "env=gym:", "out=unused"]) == 2, "env= is another word for task="
    assert "expected gym:ID" in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot be perturbed"):
        evaluate(EvaluateConfig(out="unused", task=TASK, perturb="light"))
    with pytest.raises(UserError, match="checkpoint shipped was trained for place_can"):
        evaluate(EvaluateConfig(out="unused", task=TASK))
    with pytest.raises(StartsError, match=r"no starts file nowhere"):
        evaluate(EvaluateConfig(out="unused", task=TASK, starts="nowhere.npz"))
    assert not Path("unused").exists()


def test_starts_that_are_not_shipped_are_drawn_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("a", "b"):
        report = worldmodel.evaluate(Counter(), TASK, out=tmp_path / out, episodes=3, workers=1, batch=2, videos=0)
        assert report["episodes"] == 3 and report["starts"]["name"] == "validation"
    assert "no validation starts are shipped for" in capsys.readouterr().out
    kept = [Starts.load(tmp_path / out / "validation.npz") for out in ("a", "b")]
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["task"] == TASK
    assert kept[0].sha256 == kept[1].sha256 and len(kept[0]) == 3
    test = worldmodel.evaluate(Counter(), TASK, starts="test", episodes=2, workers=1, batch=2)
    assert test["starts"]["sha256"] != kept[0].sha256


def test_another_success_rule_is_the_same_env() -> None:
    assert without_rule("gym:A-v0?state=0:2&success=terminated&steps=9") == "gym:A-v0?state=0:2"
    assert without_rule("gym:A-v0?success=terminated") == without_rule("gym:A-v0") == "gym:A-v0"
    assert without_rule("gym:A-v0?state=0:2") != without_rule("gym:A-v0")
