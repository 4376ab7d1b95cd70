"""Sound and sentences from store to policy: collected, trained on, saved, loaded, acted upon, evaluated."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import small_store

from worldmodel import checkpoint, legacy
from worldmodel.backbone import BackboneConfig
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate
from worldmodel.model import Want
from worldmodel.objectives import ObjectiveConfig
from worldmodel.policies import ModelPolicy
from worldmodel.rollout import rollout
from worldmodel.schema import AUDIO, STATE, Arrays, image_key
from worldmodel.settings import load
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.can import make
from worldmodel.sims.make import open_slot
from worldmodel.sims.slot import History
from worldmodel.tokens.audio import AudioConfig
from worldmodel.tokens.listed import complete
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, ValidationConfig
from worldmodel.train.setup import prepare
from worldmodel.train.state import saved

RECORDED = (AudioConfig().recorded(16),)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    small_store(folder / "place", sound=True)
    small_store(folder / "lift", task="lift_can", sound=True)
    return f"{folder / 'place'},{folder / 'lift'}"


def recipe(data: str, out: Path, **changes: object) -> TrainConfig:
    values: dict[str, object] = {
        "steps": 2,
        "batch": 4,
        "holdout": 0.5,
        "compile": False,
        "save_every": 1,
        "backbone": BackboneConfig(width=32, depth=2, heads=2),
        "log": LogConfig(every=1),
        "validation": ValidationConfig(every=0),
    }
    return TrainConfig(data=data, out=str(out), **{**values, **changes})  # type: ignore[arg-type]


def observation(batch: int = 1, steps: int | None = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    frames = {image_key(c): random.integers(0, 256, (batch, 32, 32, 3), np.uint8) for c in ("scene", "wrist")}
    shape = (batch, 400) if steps is None else (batch, steps, 400)
    sound = random.uniform(-1, 1, shape).astype(np.float32)
    return {**frames, STATE: random.random((batch, 4), np.float32), AUDIO: sound}


def metrics(out: Path) -> dict[str, float]:
    return {k: v for line in (out / "metrics.jsonl").read_text().splitlines() for k, v in json.loads(line).items()}


def test_a_window_holds_its_own_sound(data: str) -> None:
    from worldmodel.data import EpisodeStore

    store = EpisodeStore.open(data.split(",")[0])
    clips = Clips([store], ClipSpec(("scene",), 16, ("place_can",), recorded=RECORDED))
    clip = clips.gather(np.array([3, 25]), np.array([[1, 2], [1, 2]]))
    loud = np.abs(clip.more[AUDIO]).max(-1)
    assert np.allclose(loud[0], [0, 0, 0, 0, 0.01, 0.02, 0.03, 0.04], atol=1e-4), "silence before the episode"
    assert np.allclose(loud[1], [0, 0, *np.arange(21, 27) / 100], atol=1e-4), "another episode is not heard"
    later = np.abs(clip.more_future[AUDIO]).max(-1)
    assert np.allclose(later[0], np.arange(5, 21) / 100, atol=1e-4)
    assert clip.more_future[f"{AUDIO}.valid"].sum(1).tolist() == [16, 7], "steps past the episode's end do not count"
    assert not clips.gather(np.array([3])).more_future
    with pytest.raises(ValueError, match="has no sound; collect it again with microphone=true"):
        Clips([small_store(store.path.parent / "deaf")], clips.spec)


@pytest.mark.parametrize(
    ("mode", "kind"), [("policy", "flow"), ("joint", "self_flow"), ("inverse", "flow"), ("video", "separated")]
)
def test_two_steps_with_both_senses(data: str, tmp_path: Path, mode: str, kind: str) -> None:
    modes = ModesConfig(**{**dict.fromkeys(("policy", "joint", "forward", "inverse", "video"), 0.0), mode: 1.0})
    train(
        recipe(
            data, tmp_path, modalities={"audio": True}, language=True, modes=modes, objective=ObjectiveConfig(name=kind)
        )
    )
    found = metrics(tmp_path)
    assert (f"{mode}/audio" in found) == (mode in ("joint", "forward", "video")), "wanted whenever frames are"
    model = checkpoint.load(tmp_path)
    assert model.config.modalities["audio"]["steps"] == 8 and "bin" in model.config.words
    assert model.audio is not None and model.audio.scaling.high.max() > -3, "ranges were fitted"


def test_resuming_is_exact(data: str, tmp_path: Path) -> None:
    whole = recipe(data, tmp_path / "whole", modalities={"audio": True}, language=True, save_every=2, steps=4)
    half = replace(whole, out=str(tmp_path / "half"), steps=2)
    train(whole)
    train(replace(half, steps=4, save_every=2))
    states = saved(tmp_path / "half" / "states")
    for path in (states[1], tmp_path / "half" / "model"):
        path.rename(path.with_name(f"gone-{path.name}"))
    train(replace(half, steps=4))
    ends = [load_file(saved(tmp_path / name / "states")[-1] / "state.safetensors") for name in ("whole", "half")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    with pytest.raises(ValueError, match=r"was trained with modalities=\['audio'\], not \[\]"):
        train(replace(whole, modalities={}))


def test_sentences_vary_with_the_step_and_mean_the_task(data: str, tmp_path: Path) -> None:
    batches = prepare(recipe(data, tmp_path, language=True, batch=16)).batches
    first, again, second = (batches.draw(step)[1] for step in (0, 0, 1))
    assert torch.equal(first.more["instruction"], again.more["instruction"])
    assert not torch.equal(first.more["instruction"], second.more["instruction"])
    number = batches.model.instruction.number  # type: ignore[union-attr]
    lifting = [number[word] for word in ("lift", "up", "raise", "hold", "air", "holding")]
    says = torch.isin(first.more["instruction"], torch.tensor(lifting)).any(1)
    assert not says[first.task == 0].any() and says[first.task == 1].float().mean() > 0.7


def test_the_experiments_say_what_they_are_for() -> None:
    hears, reads = (
        load("train", TrainConfig, [f"experiment={name}", "data=d", "out=o"]) for name in ("audio", "language")
    )
    assert hears.modalities and not hears.language
    options = hears.modalities["audio"]
    assert options["weight"] == 0.2 and options["noise"]["masked"] == 0.5
    assert reads.language and not reads.modalities


@pytest.mark.parametrize(
    ("words", "modalities"),
    [
        (["audio=true"], {"audio": True}),
        (["experiment=audio", "audio=false"], {"audio": False}),
        (["audio=true", "noise.audio.mean=0.3", "objective.audio=2"], {"audio": {"noise": {"mean": 0.3}, "weight": 2}}),
    ],
)
def test_old_keys_mean_the_new_ones(words: list[str], modalities: dict[str, object]) -> None:
    config = load("train", TrainConfig, ["data=d", "out=o", *words])
    assert config.modalities == complete(modalities)
    assert ("audio" in config.modalities) == bool(modalities["audio"])
    with pytest.raises(ValueError, match="has no option 'louder'"):
        complete({"audio": {"louder": 1}})
    card = legacy.saved("train", {"audio": False, "objective": {"audio": 0.2}, "noise": {"audio": {"mean": 0.0}}})
    assert complete(card["modalities"]) == {}, "what was off has no options"


def test_a_model_card_of_old_still_hears() -> None:
    old = {"steps": 8, "bands": 16, "windows": 2}
    card = {"backbone": {"width": 32, "depth": 2, "heads": 2}, "cameras": ["scene"], "audio": old}
    config = checkpoint.config_of(card)
    assert config.modalities["audio"].items() >= old.items()
    assert checkpoint.config_of(json.loads(json.dumps(asdict(config)))) == config
    assert checkpoint.config_of(card | {"audio": None}).modalities == {}


def test_act_hears_and_reads(data: str, tmp_path: Path) -> None:
    train(recipe(data, tmp_path, modalities={"audio": True}, language=True))
    model = checkpoint.load(tmp_path)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    seeds, seen = np.array([5]), observation()

    def act(observed: Arrays = seen, sentence: str | None = None, task: str = "place_can") -> np.ndarray:
        return ModelPolicy(model, task, sentence=sentence).act(observed, seeds)

    usual = act()
    assert np.array_equal(usual, act(sentence="Place the can in the bin!")) and not np.array_equal(
        usual, act(task="lift_can")
    )
    assert not np.array_equal(usual, act(sentence="lift the can, please"))
    assert not np.array_equal(usual, act({**seen, AUDIO: 0 * seen[AUDIO]}))
    alone = {**seen, AUDIO: seen[AUDIO][:, -1]}
    padded = np.where(np.arange(8)[:, None] == 7, seen[AUDIO], 0)
    assert np.array_equal(act(alone), act({**seen, AUDIO: padded}))
    with pytest.raises(ValueError, match="make the env with microphone=True"):
        act({key: value for key, value in seen.items() if key != AUDIO})
    policy = ModelPolicy(model)
    assert policy.history == {AUDIO: 8}
    assert policy.imagine(seen, usual, [2, 5])[image_key("wrist")].shape == (1, 2, 32, 32, 3)
    given = replace(policy._given(seen), actions=torch.as_tensor(usual))
    heard = model.predict(given, Want(at=torch.tensor([[2, 5]])), generator=torch.Generator().manual_seed(0)).more
    assert heard["audio"].shape == (1, 16, 32)


def test_a_model_without_these_senses_says_so(data: str, tmp_path: Path) -> None:
    train(recipe(data, tmp_path))
    model = checkpoint.load(tmp_path)
    assert model.config.modalities == {} and model.config.words == () and ModelPolicy(model).history == {}
    with pytest.raises(ValueError, match="this model reads no sentences"):
        ModelPolicy(model, sentence="lift the can")


def test_a_slot_remembers_what_was_heard() -> None:
    env = make("place_can", render_images=False, microphone=True)
    slot = open_slot(SimulatorSpec("place_can", (), 32, history={AUDIO: 8}))
    env.reset(seed=3)
    start = env.get_state()
    down = np.array([*env.scene.can_position[:2], 0.05, -1], np.float32)  # onto the can: that is heard
    sounds = [env.step(down)[0][AUDIO] for _ in range(20)]
    first = slot.begin(InitialState(0, 3, start)).observation
    assert first is not None and first[AUDIO].shape == (8, 400) and not first[AUDIO].any()
    for _ in range(2):
        seen = slot.advance(np.tile(down, (10, 1)), record=False).observation
    assert seen is not None and np.array_equal(seen[AUDIO], sounds[-8:]) and seen[AUDIO].any()
    assert slot.fingerprint()["microphone"] == 8000


def test_a_rollout_remembers_what_was_heard() -> None:
    class Listener:
        chunk_size, history = 16, {AUDIO: 3}
        shown: list[np.ndarray] = []

        def reset(self) -> None: ...

        def act(self, observations: Arrays) -> np.ndarray:
            self.shown.append(observations[AUDIO][0])
            return np.tile(np.array([0.5, 0.0, 0.2, -1], np.float32), (1, 16, 1))

    env = make("place_can", render_images=False, microphone=True)
    episode = rollout(Listener(), env, 3, max_steps=9, n_action_steps=8)
    assert [shown.shape for shown in Listener.shown] == [(3, 400)] * 2
    assert np.array_equal(Listener.shown[1], episode.arrays[AUDIO][6:9])
    with pytest.raises(ValueError, match=r"the policy needs 'observation.audio', which the env does not show"):
        History({AUDIO: 2}).add({})


def test_evaluation_opens_the_microphone_and_takes_a_sentence(data: str, tmp_path: Path) -> None:
    train(recipe(data, tmp_path / "run", modalities={"audio": True}, language=True))
    asked = EvaluateConfig(
        out=str(tmp_path / "exam"),
        checkpoint=str(tmp_path / "run"),
        task="lift_can",
        instruction="raise the can",
        episodes=1,
        workers=1,
        batch=1,
        videos=0,
        n_action_steps=16,
        steps=1,
    )
    assert evaluate(asked) == 0
    report = json.loads((tmp_path / "exam" / "report.json").read_text())
    assert report["episodes"] == 1 and "microphone" in json.dumps(report)
