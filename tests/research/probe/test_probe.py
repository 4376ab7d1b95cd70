"""Linear probes find what is there, and nothing where nothing is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import CONFIG, small_model, small_store

from research.probe import ProbeConfig, measure
from research.probe.command import choose_episodes, pixel_clips, trained_on_noisy_observations
from research.probe.features import Pooling, Reading, collect_features, tokens_of, untrained
from research.probe.linear import ridge, score_probe
from research.probe.targets import Steps, Target, before_first, draw_steps, held, split, targets
from worldmodel import checkpoint, cli
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.model import WorldModel
from worldmodel.schema import ACTION, ENVIRONMENT_STATE, EXECUTED, STATE, Episode, image_key


def planted(noise: float, shuffled: bool = False) -> tuple[torch.Tensor, Target, Target, Steps]:
    """30 episodes of 10 moments whose features hold a position and a class, linearly."""
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 20)).astype(np.float32)
    episode = np.arange(300) // 10
    position = (features[:, :3] + 0.5 * features[:, 3:6]) / 10 + noise * random.normal(size=(300, 3)) / 10
    kind = np.digitize(features[:, 6], [-1.2, 0.5])[:, None]
    if shuffled:
        order = random.permutation(300)
        position, kind = position[order], kind[order]
    everywhere = np.ones(300, bool)
    where = Target("can", "can", "metres", position.astype(np.float32), everywhere, ("x", "y", "z"))
    what = Target("phase", "phase", "class", kind, everywhere, ("a", "b", "c"))
    part = split(np.arange(30), seed=0)[episode]
    return torch.as_tensor(features), where, what, Steps(np.arange(300), episode, part)


def test_a_planted_linear_relation_is_found() -> None:
    features, where, what, chosen = planted(noise=0.0)
    found = score_probe(features, where, chosen, resamples=200)
    assert found.score > 0.999 and found.error < 2 and found.ridge <= 1e-3
    assert set(found.by_name) == {"x", "y", "z"} and len(found.by_episode) == 9
    found = score_probe(features, what, chosen, resamples=200)
    assert found.score > 0.85 and found.by_name["b"] > 0.7, "the class in the middle as well"


def test_errors_are_millimetres_and_intervals_hold_the_score() -> None:
    features, where, _, chosen = planted(noise=0.2)
    found = score_probe(features, where, chosen, resamples=500)
    # Residuals of 0.02 m in each of three axes: a mean distance of 0.02 * sqrt(8 / pi) m
    assert found.error == pytest.approx(20 * np.sqrt(8 / np.pi), rel=0.15)
    assert found.interval[0] < found.score < found.interval[1] < 1
    assert found.error_interval[0] < found.error < found.error_interval[1]
    assert found.score == pytest.approx(1 - 0.04 / (1.25 + 0.04), abs=0.03)
    assert score_probe(features, where, chosen, resamples=500) == found, "the same at every call"


def test_shuffled_labels_are_not_found() -> None:
    features, where, what, chosen = planted(noise=0.0, shuffled=True)
    assert score_probe(features, where, chosen, resamples=200).score < 0.05
    assert score_probe(features, what, chosen, resamples=200).score < 0.45, "a third is chance"


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    features, _, what, chosen = planted(noise=0.0)
    rare = replace(what, values=(features[:, :1].numpy() > 1.4).astype(np.int64), names=("common", "rare"))
    assert rare.values.mean() < 0.1
    found = score_probe(features, rare, chosen, resamples=100)
    assert found.by_name["rare"] > 0.6  # where the most likely class alone would nearly always be the common one
    assert found.score == pytest.approx(np.mean(list(found.by_name.values())), abs=1e-3)


def test_rows_that_are_not_asked_about_do_not_matter() -> None:
    features, where, _, chosen = planted(noise=0.0)
    half = np.arange(300) % 2 == 0
    spoiled = np.where(half[:, None], where.values, 1e3).astype(np.float32)
    assert score_probe(features, replace(where, values=spoiled, where=half), chosen, resamples=50).score > 0.99
    with pytest.raises(ValueError, match="no time steps to fit, choose or test 'can'"):
        score_probe(features, replace(where, where=chosen.part == 0), chosen, resamples=50)


def test_every_episode_plays_one_part(tmp_path: Path) -> None:
    store = recordings(tmp_path, episodes=12)
    chosen = draw_steps(store, np.arange(2, 12), frames=6, ahead=2, seed=0)
    owner = np.searchsorted(store.ends, chosen.time, side="right")
    assert (owner == chosen.episode).all() and set(owner.tolist()) == set(range(2, 12))
    parts = [set(chosen.episode[chosen.part == part].tolist()) for part in range(3)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(part) for part in parts] == [5, 2, 3]
    assert (store.ends[owner] > chosen.time + 2).all(), "the future frame lies in the same episode"
    assert (np.diff(chosen.part) >= 0).all(), "the first batch, which fits the poolings, is one to fit"
    with pytest.raises(UserError, match="3 episodes cannot be split"):
        split(np.arange(3), seed=0)


def test_poolings_and_their_fit_see_no_test_episode() -> None:
    """What a pooling makes of a moment depends on the first batch and the moment alone."""
    random = torch.Generator().manual_seed(0)
    first, later = torch.randn(8, 18, 6, generator=random), torch.randn(4, 18, 6, generator=random)
    pooling = Pooling(first, cameras=2, components=3)
    both, alone = pooling(torch.cat([later, first])), pooling(later)
    assert both["mean"].shape == (12, 12) and both["grid"].shape == (12, 54)
    torch.testing.assert_close(both["grid"][:4], alone["grid"])
    moved = later.roll(1, dims=1)
    assert not torch.allclose(pooling(moved)["grid"], alone["grid"], atol=0.1), "the grid keeps places"


def test_grasp_comes_from_where_the_fingers_are() -> None:
    can = np.array([[0.5, 0.1, 0.06]] * 4)
    state = np.array(
        [[0.5, 0.1, 0.08, 0.058], [0.5, 0.1, 0.08, 0.09], [0.53, 0.1, 0.08, 0.058], [0.5, 0.1, 0.08, 0.02]]
    )
    assert held(can, state).tolist() == [True, False, False, False], "held; open; beside it; closed on nothing"
    flags = np.array([False, True, False, False, False, True, False])
    early = before_first(flags, np.array([3, 4, 7]))
    assert early.tolist() == [True, False, False, True, True, False, False]


def recordings(path: Path, episodes: int = 10, extras: bool = True) -> EpisodeStore:
    """Short recordings with a can's pose and phases; a bright block in the frames says where the can is."""
    writer, random = EpisodeStore.create(path / "store", {"licence": "Apache-2.0"}), np.random.default_rng(0)
    for seed in range(episodes):
        length = 14
        can = np.tile(random.uniform([0.4, -0.2, 0.06], [0.6, 0.2, 0.06]), (length, 1))
        gap = np.linspace(0.1, 0, length)[:, None]
        state = np.concatenate([can + gap * [1, 0, 0], np.where(gap < 0.01, 0.058, 0.09)], 1).astype(np.float32)
        frames = random.integers(0, 20, (length, 32, 32, 3)).astype(np.uint8)
        row, column = (int(v) for v in np.interp(can[0, :2], [-0.2, 0.6], [0, 28]))
        frames[:, row : row + 4, column : column + 4] = 255
        action = np.concatenate([can, np.ones((length, 1))], 1).astype(np.float32)
        arrays = {
            image_key("scene"): frames,
            image_key("wrist"): frames,
            STATE: state,
            ACTION: action,
            EXECUTED: action,
        }
        if extras:
            pose = np.concatenate([can, np.tile([1, 0, 0, 0, 0, 0, 0], (length, 1))], 1).astype(np.float32)
            arrays |= {ENVIRONMENT_STATE: pose, "phase": (gap[:, 0] < 0.05).astype(np.int8)}
        writer.append(Episode(arrays, "place_can", seed, True))
    writer.seal()
    return EpisodeStore.open(path / "store")


def test_targets_of_a_store(tmp_path: Path) -> None:
    store = recordings(tmp_path)
    found = {target.name: target for target in targets(store, np.arange(14))}
    assert set(found) == {"can", "can_early", "gap", "held", "phase"}
    np.testing.assert_allclose(found["gap"].values[:, 0], np.linspace(0.1, 0, 14), atol=1e-6)
    assert found["held"].values[:, 0].tolist() == [0] * 12 + [1] * 2
    assert found["can_early"].where.tolist() == [True] * 12 + [False] * 2
    assert found["phase"].names == ("approach", "descend")
    bare = recordings(tmp_path / "bare", episodes=4, extras=False)
    with pytest.raises(UserError, match=r"neither observation\.environment_state nor phase"):
        targets(bare, np.arange(3))


def test_the_verb_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings(tmp_path)
    made = {"train": {"noise": {"observed": {"high": 0.2}}}}
    checkpoint.save(small_model(), tmp_path / "model", made)
    out = tmp_path / "out"
    words = [f"checkpoint={tmp_path / 'model'}", f"data={tmp_path / 'store'}", f"out={out}", "noise=[0,0.5]"]
    assert cli.main(["probe", *words, "frames=8", "components=4", "resamples=50", "batch=24", "threads=1"]) == 0
    assert {path.name for path in out.iterdir()} == {"probe.json", "index.html", "grid.png", "mean.png"}
    found = json.loads((out / "probe.json").read_text())
    assert found["data"]["episodes"] == {"fit": 5, "choose": 2, "test": 3} and found["data"]["seen_in_training"] == 0
    rows = {(r["features"], r["tokens"], r["noise"], r["layer"], r["pooling"]) for r in found["results"]}
    layers = [("observed", 0.0, 1), ("observed", 0.5, 1)]
    layers += [("future", noise, layer) for noise in (0.0, 0.5) for layer in (1, 2)]
    wanted = {("model", *layer, pooling) for layer in layers for pooling in ("mean", "grid")}
    clean = [layer for layer in layers if layer[1] == 0]
    wanted |= {("random", *layer, pooling) for layer in clean for pooling in ("mean", "grid")}
    for tokens in ("observed", "future"):
        wanted |= {("pixels", tokens, 0.0, 0, pooling) for pooling in ("mean", "grid")}
        wanted.add(("proprioception", tokens, 0.0, 0, "none"))
    assert rows == wanted
    assert len(found["results"]) == len(rows) * len(found["targets"])
    best = [row for row in found["best"] if row["target"] == "gap" and row["features"] == "model"]
    assert len(best) == 4 and all(len(row["by_episode"]) == 3 for row in best)
    told = capsys.readouterr().out
    assert "gripper to can distance: this model R²" in told and "untrained model" in told
    page = (out / "index.html").read_text()
    assert 'src="grid.png"' in page and "http" not in page.replace("http://www.w3.org", "")


def test_features_are_the_same_at_every_call(tmp_path: Path) -> None:
    store, model = recordings(tmp_path, episodes=5), small_model()
    clips, chosen = pixel_clips(store, model), draw_steps(store, np.arange(5), frames=4, ahead=1, seed=0)
    reading, ticks = Reading((0.0, 0.5), True, 1, components=2, batch=8, seed=0), list[int]()
    first, second = (
        dict(collect_features(model, clips, chosen, reading, lambda: ticks.append(1)).features()) for _ in range(2)
    )
    assert len(ticks) == 6 and first.keys() == second.keys()
    assert all(torch.equal(values, second[source]) and len(values) == 20 for source, values in first.items())


@pytest.mark.parametrize("rows", [12, 40])
def test_ridge_solves_the_normal_equations_whichever_way(rows: int) -> None:
    random = torch.Generator().manual_seed(0)
    x, y, weight = (torch.randn(rows, size, generator=random) for size in (20, 2, 1))
    share = weight[:, 0].abs() / weight.abs().sum()
    ((found, offset),) = ridge(x, y, weight[:, 0].abs(), (0.1,))
    mean_x, mean_y = share @ x, share @ y
    centred = x - mean_x
    gram = centred.T @ (share[:, None] * centred)
    gram += 0.1 * gram.trace() / 20 * torch.eye(20)
    by_hand = torch.linalg.solve(gram, centred.T @ (share[:, None] * (y - mean_y)))
    torch.testing.assert_close(found, by_hand, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(offset, mean_y - mean_x @ by_hand, rtol=1e-3, atol=1e-4)


def test_an_untrained_double_has_other_weights_and_the_same_ranges() -> None:
    model = small_model()
    model.proprioception.scaling.low.fill_(-3)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    double = untrained(model, seed=1)
    assert torch.equal(torch.rand(2), expected), "and leaves the generator alone"
    assert torch.equal(double.proprioception.scaling.low, model.proprioception.scaling.low)
    assert not torch.equal(
        double.backbone.blocks[0].attention.qkv.weight, model.backbone.blocks[0].attention.qkv.weight
    )
    assert not any(p.requires_grad for p in double.parameters()) and not double.training


def test_noise_reaches_the_frames_that_it_is_meant_for() -> None:
    from small import small_clip

    clip, model = small_clip(batch=2), small_model()
    clip = replace(clip, future=clip.future[:, :1], at=clip.at[:, :1], future_valid=clip.future_valid[:, :1])
    found = {
        (tokens, level, layer): values
        for tokens, level, layer, values in tokens_of(model, clip, (0.0, 0.8), True, torch.Generator().manual_seed(0))
    }
    assert set(found) == {("observed", 0.0, 1), ("observed", 0.8, 1)} | {
        ("future", level, layer) for level in (0.0, 0.8) for layer in (1, 2)
    }
    assert all(values.shape == (2, 8, 32) for values in found.values())
    assert not torch.allclose(found["observed", 0.0, 1], found["observed", 0.8, 1])
    assert not torch.allclose(found["future", 0.0, 2], found["future", 0.8, 2])
    torch.testing.assert_close(found["observed", 0.0, 1], model.observe(clip).after[1][:, :8])


def test_held_out_episodes_are_preferred(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", lengths=(6,) * 40)
    config = ProbeConfig(str(store.path), "")
    made = {"data": [{"fingerprint": store.fingerprint}], "train": {"holdout": 0.4, "demonstrations": 10}}
    episodes, seen = choose_episodes(store, {"provenance": made}, config)
    assert episodes.tolist() == list(range(24, 40)) and seen == 0
    few = made | {"train": {"holdout": 0.1}}
    episodes, seen = choose_episodes(store, {"provenance": few}, config)
    assert len(episodes) == 40 and seen == 36, "four held-out episodes are too few: all, and it says so"
    assert choose_episodes(store, {"provenance": made}, replace(config, first=0))[1] == 10
    assert choose_episodes(store, {}, config)[1] == 0, "another store"
    with pytest.raises(UserError, match="first=38: leaves 2 of 40 episodes"):
        choose_episodes(store, {}, replace(config, first=38))


def test_misfits_are_named(tmp_path: Path) -> None:
    store = recordings(tmp_path, episodes=4)
    blind = WorldModel(replace(CONFIG, cameras=(), state_dim=14, states=(STATE, ENVIRONMENT_STATE)))
    checkpoint.save(blind, tmp_path / "blind", {})
    with pytest.raises(UserError, match="reads the simulator's state, not frames"):
        measure(ProbeConfig(str(store.path), "", str(tmp_path / "blind")))
    checkpoint.save(WorldModel(replace(CONFIG, size=48)), tmp_path / "large", {})
    with pytest.raises(UserError, match="has frames of 32 px, the checkpoint wants 48"):
        measure(ProbeConfig(str(store.path), "", str(tmp_path / "large")))
    for override, message in (
        ({"frames": 0}, "frames=0: expected at least 1"),
        ({"episodes": 3}, "episodes=3: expected at least 4"),
        ({"noise": (0.0, 2.0)}, "expected levels from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ProbeConfig("x", "y", **override)


def test_quick_is_smaller_and_never_larger() -> None:
    quick = ProbeConfig("x", "y", quick=True, episodes=10).sized()
    assert (quick.episodes, quick.frames, quick.noise) == (10, 10, (0.0, 0.5))
    plain = ProbeConfig("x", "y")
    assert plain.sized() == plain


def test_which_models_know_noise_on_what_they_observe() -> None:
    cards = [{"noise": {"observed": law}} for law in ({"high": 0.2}, {"high": 0.0, "masked": 0.1}, {"high": 0.0})]
    assert [trained_on_noisy_observations({"provenance": {"train": card}}) for card in cards] == [True, True, False]
    assert not trained_on_noisy_observations({"provenance": {}}), "the shipped model is older than that noise"
