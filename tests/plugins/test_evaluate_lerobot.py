"""LeRobot's policies are evaluated under our protocol: what they observe is what LeRobot's own loop would show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from worldmodel import cli
from worldmodel.config import UserError
from worldmodel.evaluate.initial_states import Starts, find
from worldmodel.policies.load import PolicyOptions, load_policy
from worldmodel.schema import ACTION, ENVIRONMENT_STATE, STATE, image_key
from worldmodel.sims.base import SimulatorSpec
from worldmodel.sims.make import open_slot

lerobot = pytest.importorskip("lerobot")

from lerobot.configs import FeatureType, PolicyFeature  # noqa: E402
from lerobot.policies import ACTConfig, VQBeTConfig, get_policy_class, make_pre_post_processors  # noqa: E402

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
SIZE = 48


def saved(config: Any, folder: Path, cameras: tuple[str, ...] = ("scene", "wrist"), **more: Any) -> tuple[Any, Any]:
    """A policy of random weights in a folder, as LeRobot saves it, with ranges that are not trivial."""
    frame, vector = PolicyFeature(FeatureType.VISUAL, (3, SIZE, SIZE)), PolicyFeature(FeatureType.STATE, (4,))
    config.input_features = {**{image_key(camera): frame for camera in cameras}, STATE: vector, **more}
    config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (4,))}
    torch.manual_seed(0)
    policy = get_policy_class(config.type)(config).eval()
    low, high = torch.tensor([0.3, -0.4, 0.0, -1.0]), torch.tensor([0.7, 0.3, 0.4, 1.0])
    stats = {"min": low, "max": high, "mean": (low + high) / 2, "std": (high - low) / 4}
    pictures = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    every = {STATE: stats, ACTION: stats, **{image_key(camera): pictures for camera in cameras}}
    before, after = make_pre_post_processors(config, dataset_stats=every)
    for part in (policy, before, after):
        part.save_pretrained(folder)
    return policy, (before, after)


def small_act(**options: Any) -> Any:
    small = {"dim_model": 32, "n_heads": 2, "dim_feedforward": 64, "n_encoder_layers": 1, "use_vae": False}
    chunk = {"chunk_size": 16, "n_action_steps": 16} | options
    return ACTConfig(device="cpu", push_to_hub=False, pretrained_backbone_weights=None, **small, **chunk)


def frames(batch: int, looks: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (batch, looks, SIZE, SIZE, 3)
    seen = {image_key(name): rng.integers(0, 256, shape, np.uint8) for name in ("scene", "wrist")}
    return seen | {STATE: rng.random((batch, looks, 4), np.float32), ENVIRONMENT_STATE: np.zeros((batch, looks, 10))}


def batch_of(seen: dict[str, np.ndarray], look: int, before: Any) -> Any:
    """One look as `lerobot-eval` shows it."""
    batch: dict[str, Any] = {key: torch.as_tensor(seen[key][:, look]) for key in seen if key != ENVIRONMENT_STATE}
    batch = {key: v.movedim(-1, 1).float() / 255 if "images" in key else v for key, v in batch.items()}
    return before({**batch, "task": ["lift_can"] * len(seen[STATE])})


def test_act_is_examined(tmp_path: Path) -> None:
    policy, (before, after) = saved(small_act(), tmp_path / "run/checkpoints/last/pretrained_model")
    name = f"lerobot:{tmp_path / 'run'}"
    loaded = load_policy(name, "lift_can", PolicyOptions(8, device="cpu"))
    assert (loaded.cameras, loaded.size, loaded.n_obs_steps) == (("scene", "wrist"), SIZE, 1)
    seen = frames(3, 1)
    chunk = loaded.policy.act({key: value[:, 0] for key, value in seen.items()})
    policy.reset()
    with torch.inference_mode():
        theirs = [after(policy.select_action(batch_of(seen, 0, before))) for _ in range(16)]
    np.testing.assert_allclose(chunk, torch.stack(theirs, 1).numpy(), atol=1e-6)

    words = [f"checkpoint={name}", "task=lift_can", "episodes=2", "batch=2", "videos=0", "device=cpu"]
    assert cli.main(["evaluate", *words, f"out={tmp_path / 'report'}"]) == 0
    found = json.loads((tmp_path / "report/report.json").read_text())
    assert found["episodes"] == 2 and found["fingerprint"]["weights"] == loaded.sha256
    assert found["fingerprint"]["size"] == SIZE


def test_a_policy_with_a_memory_sees_what_it_would_see_in_lerobots_loop(tmp_path: Path) -> None:
    config = VQBeTConfig(
        device="cpu", push_to_hub=False, pretrained_backbone_weights=None, crop_shape=None, n_obs_steps=3,
        gpt_n_layer=1, gpt_n_head=1, gpt_hidden_dim=32, gpt_input_dim=32, gpt_output_dim=32, vqvae_embedding_dim=16,
        vqvae_enc_hidden_dim=16, vqvae_n_embed=4,
    )  # fmt: skip
    policy, (before, _) = saved(config, tmp_path, ("scene",))
    loaded = load_policy(f"lerobot:{tmp_path}", "lift_can", PolicyOptions(5, device="cpu"))
    assert loaded.n_obs_steps == 3 and loaded.policy.chunk_size == config.action_chunk_size
    seen = {key: value for key, value in frames(2, 3).items() if "wrist" not in key}
    chunks = [loaded.policy.act(seen, np.array([4, number])) for number in (5, 5, 6)]
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert not np.array_equal(chunks[0], chunks[2]), "another seed, another draw"

    asked: list[dict[str, torch.Tensor]] = []
    for one in (loaded.policy.policy, policy):
        inner = one.vqbet.forward
        one.vqbet.forward = lambda batch, rollout, inner=inner: asked.append(batch) or inner(batch, rollout)
    loaded.policy.act(seen)
    policy.reset()
    with torch.inference_mode():
        for look in (0, 1, 2):  # LeRobot's own loop: with its actions used up, it asks at the third look
            policy._queues[ACTION].clear() if look == 2 else None
            policy.select_action(batch_of(seen, look, before))
    assert len(asked) == 3, "ours asks once"
    for key in ("observation.images", STATE):
        torch.testing.assert_close(asked[0][key], asked[2][key], rtol=0, atol=0)


def _pictures(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as film:
        yield from (frame.to_ndarray(format="rgb24") for frame in film.decode(video=0))


def test_a_slot_shows_the_looks_of_the_last_control_steps(tmp_path: Path) -> None:
    start = Starts.load(find("validation", "lift_can")).first(1)[0]
    actions = np.tile(np.array([0.5, 0.0, 0.2, -1.0], np.float32), (5, 1))
    spec = SimulatorSpec("lift_can", ("scene",), 32)
    alone, together = (open_slot(replace(spec, n_obs_steps=looks)) for looks in (1, 3))
    first = alone.begin(start).observation[STATE]
    singles = [alone.advance(actions[:1], False).observation[STATE] for _ in range(5)]
    np.testing.assert_array_equal(together.begin(start).observation[STATE], [first] * 3)
    np.testing.assert_array_equal(together.advance(actions[:1], False).observation[STATE], [first, first, singles[0]])
    shown = together.advance(actions[1:], True).observation
    np.testing.assert_array_equal(shown[STATE], singles[2:])
    assert shown[image_key("scene")].shape == (3, 32, 32, 3)
    films = [tmp_path / f"{looks}.mp4" for looks in (1, 3)]
    for slot, film in zip((alone, together), films, strict=True):
        assert slot.film(start, actions, str(film)).steps == 5
    one, other = (np.stack(list(_pictures(film))).astype(float) for film in films)  # an encoder's bytes may differ
    assert one.shape == other.shape and np.abs(one - other).mean() < 1, "films show one look at a time"


def test_who_cannot_sit_it_is_told_in_one_line(tmp_path: Path) -> None:
    saved(small_act(), tmp_path / "act")
    saved(small_act(n_action_steps=1, temporal_ensemble_coeff=0.01), tmp_path / "ensemble")
    saved(small_act(), tmp_path / "top", ("top",))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text('{"type": "unheard_of"}')
    told = {
        ("nowhere", 8): "lerobot:.*nowhere: no such folder; give a pretrained folder",
        (".", 8): "no config.json in it",
        ("broken", 8): "a policy of type 'unheard_of'; .*it is not read",
        ("ensemble", 1): "it averages over chunks in time",
        ("top", 8): "needs camera 'top'; this task has scene and wrist",
        ("act", 17): "gives 16 actions at a time; use fewer",
    }
    for (folder, execute), message in told.items():
        with pytest.raises(UserError, match=message) as error:
            load_policy(f"lerobot:{tmp_path / folder}", "lift_can", PolicyOptions(execute, device="cpu"))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"steps=2: how lerobot:.* samples is in its own config.json"):
        load_policy(f"lerobot:{tmp_path / 'act'}", "lift_can", PolicyOptions(8, 2))
