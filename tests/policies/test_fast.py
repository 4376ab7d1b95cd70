"""Acting in ONNX Runtime: the actions of the model itself, for every kind of model, or torch acts and that is said."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small import CONFIG, small_given, small_model

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.policies import ModelPolicy, fast, load, model_policy
from worldmodel.policies.fast import FastAct, fast_act
from worldmodel.policies.graph import OPSET, ActGraph
from worldmodel.schema import ENVIRONMENT_STATE, STATE, image_key
from worldmodel.tokens.language import vocabulary

ATOL = 1e-5

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "prefix": {"prefix": 4},
    "mip": {"sampler": "mip"},
    "regression with a prefix": {"sampler": "regression", "prefix": 3},
    "small patches": {"patch": 8},
    "state alone": {"cameras": (), "states": (ENVIRONMENT_STATE,), "state_dim": 9},
    "one camera, seven actions": {"cameras": ("front",), "action_dim": 7, "state_dim": 9},
    "window": {"window": 3},
    "memory, deep": {"memory": (0, 2), "backbone": BackboneConfig(width=32, depth=2, heads=2, deep=1)},
    "nothing relative": {"relative": 0},
    "words": {"words": vocabulary(CONFIG.tasks)},
}


def made(config: ModelConfig) -> WorldModel:
    """A model off its zero initialisation, with uneven ranges and a gripper that takes two values."""
    torch.manual_seed(0)
    model = WorldModel(config)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for part in (model.actions, model.proprioception):
        part.scaling.low.copy_(-torch.rand(part.scaling.low.shape) - 0.1)
        part.scaling.high.copy_(torch.rand(part.scaling.high.shape) + 0.1)
    model.actions.scaling.binary[:, -1] = True
    if config.words:
        model.instruction.fit(config.tasks)
    return model.eval()


def given_for(config: ModelConfig, batch: int) -> tuple[Given, torch.Tensor]:
    """Observations of both tasks, of which some have committed actions where the model continues such, and noise."""
    draw = torch.Generator().manual_seed(1)
    images = (batch, len(config.cameras), config.size, config.size, 3)
    given = Given(
        torch.randint(0, 256, images, dtype=torch.uint8, generator=draw),
        torch.rand(batch, config.state_dim, generator=draw),
        torch.arange(batch) % len(config.tasks),
    )
    if config.prefix:
        prefix = torch.rand(batch, config.prefix, config.action_dim, generator=draw)
        given = replace(given, prefix=prefix, committed=torch.tensor([0, 2, config.prefix])[:batch])
    return given, torch.randn(batch, config.chunk_size, config.action_dim, generator=draw)


def observations(batch: int = 3) -> dict[str, np.ndarray]:
    given = small_given(batch)
    frames = {image_key(camera): given.images[:, n].numpy() for n, camera in enumerate(CONFIG.cameras)}
    return frames | {STATE: given.state.numpy()}


def quickly(model: WorldModel, **options: Any) -> ModelPolicy:
    policy = ModelPolicy(model, **options)
    policy.fast = FastAct(model, 2)
    return policy


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch in float32 here too, where it would take bfloat16."""
    monkeypatch.setattr(model_policy, "fast_dtype", lambda device: torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_of_every_kind_of_model_acts_as_the_model_does(kind: str) -> None:
    model = made(replace(CONFIG, **KINDS[kind]))
    quick = FastAct(model, 2)
    for batch in (3, 1):  # one session takes any
        given, noise = given_for(model.config, batch)
        np.testing.assert_allclose(quick(given, noise), model.act(given, 2, noise).numpy(), atol=ATOL)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_any_number_of_sampling_steps(steps: int) -> None:
    model = made(CONFIG)
    given, noise = given_for(CONFIG, 2)
    np.testing.assert_allclose(FastAct(model, steps)(given, noise), model.act(given, steps, noise).numpy(), atol=ATOL)


def test_the_shipped_checkpoint_agrees_and_its_graph_is_standard_onnx() -> None:
    model = checkpoint.load("shipped")
    given, noise = given_for(model.config, 2)
    np.testing.assert_allclose(FastAct(model, 2)(given, noise), model.act(given, 2, noise).numpy(), atol=ATOL)
    proto = ActGraph(model).proto()
    onnx.checker.check_model(proto, full_check=True)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", OPSET)]


def test_a_policy_draws_the_same_noise_either_way() -> None:
    one, other = small_model(), small_model()
    policies = quickly(one), ModelPolicy(other)
    for seeds in (np.array([5, 6, 7]), None, None):  # None: drawn from the policy's own generator, on and on
        first, second = (policy.act(observations(), seeds) for policy in policies)
        np.testing.assert_allclose(first, second, atol=ATOL)


def test_a_model_that_reads_is_told_the_same_sentence() -> None:
    config = replace(CONFIG, words=vocabulary(CONFIG.tasks))
    said, usual = (
        quickly(model, sentence=sentence) for model, sentence in ((made(config), "lift the can"), (made(config), None))
    )
    plain = ModelPolicy(made(config), sentence="lift the can")
    seen, seeds = observations(1), np.array([3])
    np.testing.assert_allclose(said.act(seen, seeds), plain.act(seen, seeds), atol=ATOL)
    assert not np.allclose(said.act(seen, seeds), usual.act(seen, seeds), atol=1e-4)


def test_committed_actions_are_continued_and_too_many_refused() -> None:
    model = made(replace(CONFIG, prefix=3))
    policy, plain = quickly(model), ModelPolicy(made(replace(CONFIG, prefix=3)))
    rows = [np.full((2, 4), 0.25, np.float32), None]
    chunks = [each.act(observations(2), np.array([1, 2]), rows) for each in (policy, plain)]
    np.testing.assert_allclose(*chunks, atol=ATOL)
    for each in (policy, plain, quickly(small_model())):
        with pytest.raises(ValueError, match="4 of 4 actions are committed; this model continues up to"):
            each.act(observations(1), np.array([1]), [np.zeros((4, 4), np.float32)])


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_said", set())


@pytest.mark.usefixtures("unsaid")
def test_without_the_runtime_torch_acts_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for _ in range(2):
        loaded = load.load_policy("shipped", "place_can", load.PolicyOptions(8, device="cpu"))
        assert loaded.runtime == "torch"
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "onnxruntime is missing: pip install onnx onnxruntime" in said
    size = loaded.size
    seen = {image_key(camera): np.zeros((1, size, size, 3), np.uint8) for camera in loaded.cameras}
    assert loaded.policy.act(seen | {STATE: np.zeros((1, 4), np.float32)}).shape == (1, 16, 4)


@pytest.mark.usefixtures("unsaid")
def test_a_model_that_hears_is_left_to_torch(capsys: pytest.CaptureFixture[str]) -> None:
    model = WorldModel(replace(CONFIG, modalities={"audio": {}})).eval()
    assert fast_act(model, 2, "cpu") is None and "it observes audio" in capsys.readouterr().err


@pytest.mark.usefixtures("unsaid")
def test_a_runtime_that_computes_something_else_or_fails_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = ActGraph.norm
    monkeypatch.setattr(ActGraph, "norm", lambda graph, value, shift, scale: right(graph, value, shift + 0.1, scale))
    assert fast_act(small_model(), 2, "cpu") is None and "gives other actions" in capsys.readouterr().err
    monkeypatch.setattr(ActGraph, "norm", lambda graph, value, shift, scale: graph("Nonsense", value))
    assert fast_act(small_model(), 2, "cpu") is None and "Nonsense" in capsys.readouterr().err


def test_it_is_the_default_on_a_processor_and_only_there() -> None:
    loaded = load.load_policy("shipped", "place_can", load.PolicyOptions(8, device="cpu"))
    assert loaded.runtime == "onnxruntime" and isinstance(loaded.policy, ModelPolicy) and loaded.policy.fast
    slow = load.load_policy("shipped", "place_can", load.PolicyOptions(8, device="cpu", fast=False))
    assert slow.runtime == "torch" and isinstance(slow.policy, ModelPolicy) and slow.policy.fast is None
    assert fast_act(small_model(), 2, "cuda") is None
