"""The policy inside LeRobot: found by its name, taught by its data, saved and loaded by its own ways."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_model, small_store

from worldmodel import legacy
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.flow import MODES, ROLLOUT
from worldmodel.schema import ACTION, EXECUTED, STATE, image_key
from worldmodel.train.step_rng import IMITATES

lerobot = pytest.importorskip("lerobot")

from lerobot.configs.default import DatasetConfig  # noqa: E402
from lerobot.configs.policies import PreTrainedConfig  # noqa: E402
from lerobot.configs.train import TrainPipelineConfig  # noqa: E402
from lerobot.datasets.factory import make_dataset  # noqa: E402
from lerobot.envs.configs import EnvConfig  # noqa: E402
from lerobot.policies import get_policy_class, make_policy, make_pre_post_processors  # noqa: E402
from lerobot.utils.import_utils import register_third_party_plugins  # noqa: E402

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
register_third_party_plugins()
PLUGIN = "lerobot_policy_worldmodel"
MOMENTS = (2, 5, 16)


def test_lerobot_finds_the_plugin_by_its_distributions_name() -> None:
    assert importlib.metadata.distribution(PLUGIN).metadata["Name"] == PLUGIN, "run `make setup`"
    assert PreTrainedConfig.get_choice_class("worldmodel").__module__ == f"{PLUGIN}.configuration_worldmodel"
    assert EnvConfig.get_choice_class("worldmodel").__module__ == f"{PLUGIN}.env"
    assert get_policy_class("worldmodel").__name__ == "WorldModelPolicy"


def config_of(**options: Any) -> Any:
    from worldmodel.backbone import BackboneConfig
    from worldmodel.model import ModelConfig

    model = ModelConfig(backbone=BackboneConfig(width=32, depth=2, heads=2))
    kind = PreTrainedConfig.get_choice_class("worldmodel")
    return kind(**{"model": model, "device": "cpu", "push_to_hub": False, "moments": MOMENTS, **options})


def trained(root: Path, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Data set, policy and processors as `lerobot-train` makes them."""
    pipeline = TrainPipelineConfig(DatasetConfig("local/lift", root=str(root)), policy=config_of(**options))
    data = make_dataset(pipeline)
    policy = make_policy(pipeline.policy, ds_meta=data.meta)
    before, after = make_pre_post_processors(pipeline.policy, dataset_stats=data.meta.stats)
    return data, policy, before, after


def batch_of(data: Any, rows: np.ndarray, before: Any) -> Any:
    batch = torch.utils.data.default_collate([data[int(row)] for row in rows])
    for key in data.meta.camera_keys:
        if batch[key].dtype == torch.uint8:  # of videos; as lerobot-train does
            batch[key] = batch[key].float() / 255
    return before(batch)


@pytest.fixture(scope="module")
def lesson(dataset: Path) -> tuple[Any, Any, Any, Any]:
    return trained(dataset)


def test_a_batch_becomes_the_clip_that_the_store_itself_gives(lesson: Any, store: Path) -> None:
    from lerobot_policy_worldmodel.batches import clip

    from worldmodel.train.step_rng import BatchPlan

    data, policy, before, _ = lesson
    native = EpisodeStore.open(store)
    config, steps = policy.config.model, policy.config.later_steps
    assert (config.size, config.relative, config.control_hz, config.cameras) == (48, 3, 20.0, ("scene", "wrist"))
    clips = Clips([native], ClipSpec(config.cameras, config.chunk_size, config.tasks))
    pushed = np.flatnonzero((native.array(ACTION)[:] != native.array(EXECUTED)[:]).any(-1))
    rows = np.array([0, int(pushed[0]) - 2, 30, int(native.ends[0]) - 3])  # before a push, and near an episode's end
    at = np.array([[2, 5], [5, 16], [2, 16], [2, 16]])
    batch = batch_of(data, rows, before)
    for mode, done in (("forward", False), ("inverse", True)):
        ours = clip(batch, policy.model, BatchPlan(mode, 4, at, executed=done), steps, policy._recorded)
        theirs = clips.gather(rows, at, done=done)
        for name in ("images", "state", "task", "action", "executed", "valid", "future", "at", "future_valid"):
            np.testing.assert_array_equal(np.asarray(getattr(ours, name)), getattr(theirs, name), err_msg=name)
        assert not ours.valid.all() and not ours.future_valid.all() and (ours.action != ours.executed).any() != done


@pytest.mark.parametrize("mode", [*MODES, ROLLOUT])
@pytest.mark.parametrize("noisy", [False, True], ids=["pushes", "noise"])
def test_it_teaches_what_our_own_training_teaches(tmp_path: Path, mode: str, noisy: bool) -> None:
    """One batch of a mode through `worldmodel train` and through LeRobot: the same clip, roles, noise and losses."""
    from lerobot_policy_worldmodel.learning import LeRobotDraws

    from worldmodel.data.formats.lerobot_convert import from_store
    from worldmodel.train.config import ModesConfig
    from worldmodel.train.step import Batches, losses

    native = small_store(tmp_path / "store", (24, 21), noise=0.003 if noisy else 0.0)
    from_store(str(native.path), tmp_path / "theirs", "image")
    alone = ModesConfig(**{name: float(name == mode) for name in (*MODES, ROLLOUT)})
    data, policy, before, _ = trained(tmp_path / "theirs", modes=alone, moments=tuple(range(1, 17)), task="place_can")
    config, model = policy.config.training(), policy.model
    for parameter in model.parameters():  # fresh heads are zero: they would hide what they are asked
        torch.nn.init.normal_(parameter, std=0.02)
    spec = ClipSpec(model.config.cameras, model.config.chunk_size, model.config.tasks)
    native_batches = Batches(Clips([native], spec), model, replace(config, batch=8), torch.device("cpu"))
    theirs = LeRobotDraws(policy.config, model, policy.ema, policy._recorded)
    plain, step = losses(model, policy.ema, config)[1], 3
    rows = native_batches.clips.order(step, 8, config.seed, demonstrated=mode in IMITATES)
    one, other = native_batches.draw(step), theirs.draw(batch_of(data, rows, before), step)
    assert one[0] == other[0] == mode and one[2].keys() == other[2].keys()
    for field in fields(one[1]):
        if field.name == "windows":
            continue  # numbers in a store's order, which LeRobot does not know
        assert_alike(getattr(one[1], field.name), getattr(other[1], field.name), field.name)
    for name, draw in one[2].items():
        for field in fields(draw):
            assert_alike(getattr(draw, field.name), getattr(other[2][name], field.name), f"{name}.{field.name}")
    assert one[1].valid.any() and (mode in ("policy", "inverse") or one[1].future_valid.any())
    for name, value in plain(one[1], mode, one[2]).items():
        torch.testing.assert_close(plain(other[1], mode, other[2])[name], value, rtol=1e-6, atol=1e-6, msg=name)
    loss, parts = policy.train().forward(batch_of(data, rows, before))
    assert torch.isfinite(loss) and all(name.startswith(mode) for name in parts)


def assert_alike(one: Any, other: Any, name: str) -> None:
    """Equal tensors, or equal mappings of them, exactly."""
    if isinstance(one, Mapping):
        assert one.keys() == other.keys(), name
        for key in one:
            assert_alike(one[key], other[key], f"{name}[{key}]")
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(other, one, rtol=0, atol=0, msg=name)
    else:
        assert one == other, name


def test_ranges_are_those_of_our_own_training(lesson: Any, store: Path) -> None:
    _, policy, _, _ = lesson
    config = policy.config.model
    clips = Clips([EpisodeStore.open(store)], ClipSpec(config.cameras, config.chunk_size, config.tasks))
    sample = clips.sample(20_000, 0).map(torch.as_tensor)
    actions, state = sample.action, sample.state
    reference = small_model().actions
    reference.scaling.fit(actions - reference.origin(state))
    for policys in (policy.model, policy.ema):
        torch.testing.assert_close(policys.actions.scaling.low, reference.scaling.low, rtol=0, atol=0)
        assert policys.actions.scaling.binary[:, 3].all(), "the gripper's command has two values"


@pytest.mark.parametrize("kind", ["flow", "self_flow"])
def test_every_mode_teaches(dataset: Path, kind: str) -> None:
    from worldmodel.objectives import ObjectiveConfig
    from worldmodel.train.config import ModesConfig

    alike = ModesConfig(1, 1, 1, 1, 1)
    data, policy, before, _ = trained(dataset, objective=ObjectiveConfig(name=kind), modes=alike)
    batch = batch_of(data, np.arange(0, 40, 10), before)
    policy.train()
    seen: set[str] = set()
    for _ in range(60):
        loss, parts = policy.forward(batch)
        loss.backward()
        assert torch.isfinite(loss) and all(isinstance(value, float) for value in parts.values())
        policy.update()
        seen = {mode for mode in MODES if any(part.startswith(mode) for part in parts)}
        if len(seen) == len(MODES):
            break
    assert seen == set(MODES)
    untaught = [
        name for name, p in policy.model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()
    ]
    assert not untaught
    assert all(p.grad is None for p in policy.ema.parameters())
    policy.eval()
    with torch.no_grad():
        first, second = policy.forward(batch)[0], policy.forward(batch)[0]
    assert first == second, "a held-out loss is the same at every call"


def test_the_average_follows_and_the_actor_with_it(dataset: Path) -> None:
    data, policy, before, _ = trained(dataset)
    batch = batch_of(data, np.arange(2), before)
    noise = torch.zeros(2, 16, 4)
    chunk = policy.predict_action_chunk(batch, noise=noise)
    torch.nn.init.normal_(policy.model.actions.head.weight)
    assert torch.equal(policy.predict_action_chunk(batch, noise=noise), chunk)
    policy.update()
    assert torch.equal(policy.ema.actions.head.weight, policy.model.actions.head.weight), "the first step is copied"
    assert not torch.equal(policy.predict_action_chunk(batch, noise=noise), chunk)
    torch.nn.init.zeros_(policy.model.actions.head.weight)
    policy.update()
    assert policy.ema.actions.head.weight.abs().sum() > 0 and int(policy.updates) == 2


def test_the_optimiser_takes_the_steps_that_ours_takes_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    from worldmodel.train.config import OptimiserConfig
    from worldmodel.train.optimiser import Optimiser

    monkeypatch.setattr("worldmodel.train.optimiser.fast_dtype", lambda device: torch.float32)

    torch.manual_seed(0)
    gradients = [{n: torch.randn_like(p) for n, p in small_model().named_parameters()} for _ in range(4)]
    reference, one, two = small_model(), small_model(), small_model()
    ours = Optimiser(reference, OptimiserConfig(clip=1e9), steps=4)
    config = config_of()
    theirs, again = (config.get_optimizer_preset().build(dict(m.named_parameters())) for m in (one, two))
    schedule = config.get_scheduler_preset().build(theirs, 4)
    for step in range(4):
        if step == 3:
            two.load_state_dict(one.state_dict())
            again.load_state_dict(theirs.state_dict())
        for model in (reference, one, two):
            for name, parameter in model.named_parameters():
                parameter.grad = gradients[step][name].clone()
        ours.update(step)
        theirs.step()
        again.step()
        schedule.step()
    begun, resumed, alone = (dict(model.named_parameters()) for model in (small_model(), two, one))
    for name, parameter in reference.named_parameters():
        for other in (alone, resumed):  # a step moves by 1e-5 at least; kernels round by where a tensor lies
            torch.testing.assert_close(other[name], parameter, rtol=1e-5, atol=1e-7, msg=name)
        assert not torch.equal(begun[name], parameter), name


def test_saved_and_loaded_it_is_the_same(lesson: Any, tmp_path: Path) -> None:
    data, policy, before, after = lesson
    policy.save_pretrained(tmp_path)
    before.save_pretrained(tmp_path)
    after.save_pretrained(tmp_path)
    config = PreTrainedConfig.from_pretrained(tmp_path)
    loaded = get_policy_class("worldmodel").from_pretrained(tmp_path)
    assert asdict(config) == asdict(policy.config) and loaded.state_dict().keys() == policy.state_dict().keys()
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    begin, end = make_pre_post_processors(config, pretrained_path=str(tmp_path))
    batch, batch_again = (batch_of(data, np.arange(2), process) for process in (before, begin))
    chunks = []
    for one, seen, process in ((policy, batch, after), (loaded, batch_again, end)):
        torch.manual_seed(3)
        one.reset()
        chunks.append(torch.stack([process(one.select_action(seen)) for _ in range(one.config.execute)]))
        torch.manual_seed(3)
        assert torch.equal(one.predict_action_chunk(seen)[:, : one.config.execute].transpose(0, 1), chunks[-1])
    assert torch.equal(*chunks), "and nothing was scaled on the way"


def test_what_an_older_version_saved_is_read(lesson: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, policy, _, _ = lesson
    policy.config.save_pretrained(tmp_path)
    old = json.loads((tmp_path / "config.json").read_text())
    old["optimiser"]["step_size"] = old["optimiser"].pop("lr") / 2
    old["model"]["frequency"] = old["model"].pop("control_hz")
    old["objective"]["gone"] = 1.0
    (tmp_path / "config.json").write_text(json.dumps(old))
    table = {"train": {"optimiser.step_size": "optimiser.lr"}, "model": {"frequency": "control_hz"}}
    monkeypatch.setattr(legacy, "RENAMED", table)
    found = PreTrainedConfig.from_pretrained(tmp_path)
    optimiser = replace(policy.config.optimiser, lr=policy.config.optimiser.lr / 2)
    assert asdict(found) == asdict(policy.config) | {"optimiser": asdict(optimiser)}


def test_frames_of_another_size_are_fitted_as_our_own_training_does(lesson: Any) -> None:
    from lerobot_policy_worldmodel.batches import pixels

    from worldmodel.data.source import fit

    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), np.uint8)
    floats = torch.as_tensor(frames).movedim(-1, 1).float() / 255
    np.testing.assert_array_equal(pixels(floats, 32).numpy(), fit(frames, 32))


def test_bad_input_is_told_in_one_line(lesson: Any, dataset: Path) -> None:
    data, policy, before, _ = lesson
    batch = batch_of(data, np.arange(2), before)
    told = [
        ("execute=17: expected 1 to 16", lambda: config_of(execute=17)),
        ("moments=.*expected two or more", lambda: config_of(moments=(20, 30))),
        ("are scene 48x48.*add --policy.size=32", lambda: trained(dataset, model=patched(32))),
        ("not for 'lift_cam'. Did you mean 'lift_can'", lambda: policy.select_action({**batch, "task": "lift_cam"})),
        ("names no task; add --policy.task=", lambda: policy.select_action({**batch, "task": ""})),
        ("needs 'observation.images.wrist'", lambda: policy.select_action(without(batch, image_key("wrist")))),
        ("needs 'observation.state'", lambda: policy.select_action(without(batch, STATE))),
    ]
    for message, call in told:
        policy.reset()
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def patched(patch: int) -> Any:
    from worldmodel.model import ModelConfig

    return ModelConfig(patch=patch)


def without(batch: Any, key: str) -> Any:
    return {name: value for name, value in batch.items() if name != key}
