"""Each check finds exactly the defect that was planted, and a clean store passes all of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from worldmodel.data import EpisodeStore
from worldmodel.evaluate.initial_states import Starts
from worldmodel.quality.health import HealthConfig, check_store, health
from worldmodel.quality.leakage import of_starts, of_store
from worldmodel.schema import ACTION, STATE, Episode, image_key

SCENE, WRIST, SIMULATOR = image_key("scene"), image_key("wrist"), "simulator_state"
PROVENANCE = {"recipe": {"tasks": ["reach"]}, "action_range": {"low": [-2, -2, -1], "high": [2, 2, 1]}}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def clean(seed):
    """A point on a smooth path of uneven speed, seen by two cameras; the third action is a switch."""
    random = np.random.default_rng(seed)
    steps = int(random.integers(45, 60))
    time = np.cumsum(random.uniform(0.2, 1.8, steps)) / 12
    state = np.stack([np.sin(time + seed), np.cos(1.3 * time)], axis=1)
    action = np.column_stack([state, np.sign(np.sin(time))])
    frames = np.stack([picture(*at) for at in state])
    simulator = np.column_stack([state, np.full(steps, seed)])
    arrays = {SCENE: frames, WRIST: 255 - frames, STATE: state.astype(np.float32)}
    arrays |= {ACTION: action.astype(np.float32), SIMULATOR: simulator.astype(np.float64)}
    return Episode(arrays, "reach", seed, True)


def picture(x, y):
    """uint8 (32, 32, 3): a horizontal ramp and a vertical one, moved by the state; every place looks different."""
    row, column = np.mgrid[0:32, 0:32] / 31
    red, green = 200 * np.exp(-8 * (column - 0.5 - 0.4 * x) ** 2), 200 * np.exp(-8 * (row - 0.5 - 0.4 * y) ** 2)
    return np.stack([red + 20, green + 20, np.full_like(red, 90)], axis=-1).astype(np.uint8)


def changed(episode, **arrays):
    """An episode with some arrays replaced; ``state`` stands for observation.state and so on."""
    names = {"scene": SCENE, "wrist": WRIST, "state": STATE, "action": ACTION, "simulator": SIMULATOR}
    return replace(episode, arrays=dict(episode.arrays) | {names.get(k, k): v for k, v in arrays.items()})


@pytest.fixture
def store_of(tmp_path):
    made = []

    def write(episodes, provenance=PROVENANCE):
        path = tmp_path / f"store{len(made)}"
        made.append(path)
        with EpisodeStore.create(path, provenance, 32) as writer:
            for episode in episodes:
                writer.append(episode)
            writer.seal()
        return EpisodeStore.open(path)

    return write


def verdicts(store, others=()):
    found = check_store(store, others)
    return {f.check: f for f in found if f.verdict not in ("ok", "skipped")}


def episodes(count=8, first=0):
    return [clean(seed) for seed in range(first, first + count)]


def test_a_clean_store_passes(store_of):
    found = check_store(store_of(episodes()))
    assert {f.check: f.seen for f in found if f.verdict != "ok"} == {}
    assert [f.check for f in found] == [
        "episode lengths", "numbers", "degenerate dimensions", "idle stretches", "action jumps", "action range",
        "camera timing", "repeated frames", "cameras", "repeated episodes",
    ]  # fmt: skip


def only(store, check, verdict, *concerned, others=()):
    """The one finding, which must be ``check``'s; returns what was seen."""
    found = verdicts(store, others)
    assert set(found) == {check}, {name: f.seen for name, f in found.items()}
    assert found[check].verdict == verdict
    assert found[check].episodes == concerned
    assert found[check].advice
    return found[check].seen


def test_a_dimension_that_never_moves(store_of):
    stuck = [changed(e, state=np.column_stack([e.arrays[STATE], np.ones(len(e), np.float32)])) for e in episodes()]
    assert only(store_of(stuck), "degenerate dimensions", "warn") == "observation.state[2] is always 1"


def test_actions_that_never_move_at_all(store_of):
    stuck = [changed(e, action=np.zeros((len(e), 3), np.float32)) for e in episodes()]
    seen = only(store_of(stuck), "degenerate dimensions", "fail")
    assert "action[0] is always 0, action[1] is always 0" in seen


def test_numbers_that_are_none(store_of):
    broken = episodes()
    broken[3].arrays[ACTION][7, 1] = np.nan
    broken[5].arrays[STATE][0, 0] = np.inf
    assert "action at 1 steps" in only(store_of(broken), "numbers", "fail", 3, 5)


def held(episode, at, steps):
    """The episode with everything standing still for ``steps`` from ``at`` on; sensors flicker, so frames differ."""
    order = np.concatenate([np.arange(at), np.full(steps, at), np.arange(at, len(episode))])
    return changed(episode, **{key: value[order] for key, value in episode.arrays.items()})


def test_idle_stretches(store_of):
    lazy = episodes()
    lazy[2] = held(lazy[2], 11, 25)
    lazy[2] = replace(lazy[2], arrays={key: value[:55] for key, value in lazy[2].arrays.items()})
    assert "1 stretches, the longest 1.2 s" in only(store_of(lazy), "idle stretches", "warn", 2)
    assert verdicts(store_of([held(e, 10, 15) for e in episodes()])) == {}, "short rests are no defect"


def test_a_store_that_mostly_waits(store_of):
    lazy = [held(e, 20, 80) for e in episodes()]
    assert verdicts(store_of(lazy))["idle stretches"].verdict == "fail"


def test_action_jumps(store_of):
    leap = episodes()
    leap[4].arrays[ACTION][20, 0] += 1.9
    leap[4].arrays[ACTION][20] = leap[4].arrays[ACTION][20].clip(-2, 2)
    assert "dimension 0: 2 up to" in only(store_of(leap), "action jumps", "warn", 4)


def test_actions_outside_the_range(store_of):
    far = [changed(e, action=e.arrays[ACTION] * np.array([1, 3, 1], np.float32)) for e in episodes()]
    seen = only(store_of(far), "action range", "fail", *range(8))
    assert seen.startswith("outside: action[1] at")
    assert "action range" not in verdicts(store_of(far, {})), "nobody knows the range"


@pytest.mark.parametrize("camera", ["scene", "wrist"])
@pytest.mark.parametrize(("lag", "verdict"), [(1, "warn"), (4, "fail"), (-2, "warn")])
def test_frames_out_of_step(store_of, camera, lag, verdict):
    """Rolled frames: the seam would be a jump of its own, so the ends are cut off."""
    late = []
    for episode in episodes(12):
        frames = np.roll(episode.arrays[image_key(camera)], lag, axis=0)
        kept = slice(max(lag, 0), len(episode) + min(lag, 0))
        shifted = changed(episode, **{camera: frames})
        late.append(replace(shifted, arrays={key: value[kept] for key, value in shifted.arrays.items()}))
    seen = only(store_of(late), "camera timing", verdict)
    side = "behind" if lag > 0 else "ahead of"
    assert seen.startswith(f"{camera} is {abs(lag)} step") and f"{side} the state" in seen


def test_uneven_times(store_of):
    timed = [changed(e, timestamp=np.arange(len(e), dtype=np.float32) / 20) for e in episodes()]
    assert verdicts(store_of(timed)) == {}
    timed[6].arrays["timestamp"][30:] += 0.2
    assert "1 of" in only(store_of(timed), "camera timing", "warn", 6)


def test_a_camera_slower_than_the_recording(store_of):
    slow = [changed(e, wrist=e.arrays[WRIST][np.arange(len(e)) // 2 * 2]) for e in episodes()]
    found = verdicts(store_of(slow))
    assert found["repeated frames"].verdict == "fail" and found["repeated frames"].seen.startswith("wrist: ")
    dropped = episodes()
    dropped[1].arrays[SCENE][20] = dropped[1].arrays[SCENE][19]
    assert "scene: 1 frames" in only(store_of(dropped), "repeated frames", "warn", 1)


def test_an_episode_that_is_there_twice(store_of):
    twice = episodes()
    twice[6] = replace(twice[1], seed=6)
    assert only(store_of(twice), "repeated episodes", "fail", 1, 6) == "1 copies: 1 = 6"


def test_lengths(store_of):
    short, long = episodes(), episodes()
    short[3] = replace(short[3], arrays={key: value[:6] for key, value in short[3].arrays.items()})
    assert "1 outliers of 6 steps" in only(store_of(short), "episode lengths", "warn", 3)
    there = np.arange(len(long[0]))
    order = np.concatenate([there, there[::-1]] * 4)
    long[0] = changed(long[0], **{key: value[order] for key, value in long[0].arrays.items()})
    assert verdicts(store_of(long))["episode lengths"].episodes == (0,)


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        ("dark", lambda f: f // 40),
        ("saturated", lambda f: np.maximum(f, 251)),
        ("blank", lambda f: np.full_like(f, 128)),
        ("frozen for whole episodes", lambda f: np.repeat(f[:1], len(f), axis=0)),
    ],
)
def test_cameras_that_show_nothing(store_of, kind, frames):
    poor = episodes()
    poor[5] = changed(poor[5], wrist=frames(poor[5].arrays[WRIST]))
    found = verdicts(store_of(poor))["cameras"]
    assert found.verdict == "warn" and found.episodes == (5,)
    assert f"of frames {kind}" in found.seen and found.seen.startswith("wrist: ") and "scene" not in found.seen
    every = [changed(e, wrist=frames(e.arrays[WRIST])) for e in episodes()]
    assert verdicts(store_of(every))["cameras"].verdict == "fail"


def test_leakage_from_another_store(store_of):
    ours, apart = store_of(episodes()), of_store(store_of(episodes(first=100)))
    assert verdicts(ours, [apart]) == {}
    unlike = [changed(e, scene=e.arrays[SCENE] // 2, wrist=e.arrays[WRIST] // 2) for e in episodes(first=100)]
    same_state = changed(unlike[0], simulator=clean(3).arrays[SIMULATOR][: len(unlike[0])])
    other = of_store(store_of([same_state, *unlike[1:]]))
    assert only(ours, f"leakage: {other.name}", "fail", 3, others=[other]) == "1 same simulator states"
    other = of_store(store_of([replace(unlike[0], seed=2), *unlike[1:]]))
    assert only(ours, f"leakage: {other.name}", "warn", 2, others=[other]) == "1 same seeds"
    same_look = changed(unlike[0], scene=np.concatenate([clean(5).arrays[SCENE][:1], unlike[0].arrays[SCENE][1:]]))
    other = of_store(store_of([same_look, *unlike[1:]]))
    assert only(ours, f"leakage: {other.name}", "fail", 5, others=[other]) == "1 same first frames of scene"
    itself = of_store(ours)
    assert only(ours, f"leakage: {itself.name}", "fail", *range(8), others=[itself]) == "it is the same store"


def test_leakage_from_frozen_starts(store_of, tmp_path):
    states = np.stack([clean(seed).arrays[SIMULATOR][0] for seed in (4, 200)])
    Starts("reach", states + 1e-9, (2**40, 2**40 + 1), {}).save(tmp_path / "starts.npz")
    starts = of_starts(tmp_path / "starts.npz")
    assert only(store_of(episodes()), "leakage: starts.npz", "fail", 4, others=[starts]) == "1 same simulator states"
    assert verdicts(store_of(episodes(first=5)), [starts]) == {}


def test_the_verb_says_and_writes_it(store_of, tmp_path, capsys):
    store = store_of(episodes())
    assert health(HealthConfig(str(store.path), out=str(tmp_path / "found"))) == 0
    assert "ok (10 ok, 0 warn, 0 fail, 0 skipped); 8 episodes" in capsys.readouterr().out
    record = json.loads((tmp_path / "found" / "health.json").read_text())
    assert record["verdict"] == "ok" and record["fingerprint"] == store.fingerprint and len(record["checks"]) == 10
    assert health(HealthConfig(str(store.path), against=str(store.path), json=True)) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["verdict"] == "fail" and record["checks"][-1]["episodes"] == list(range(8))
    with pytest.raises(FileNotFoundError, match="no store at nowhere"):
        health(HealthConfig(str(store.path), against="nowhere"))


def test_a_store_without_cameras_or_state(store_of):
    bare = [replace(e, arrays={ACTION: e.arrays[ACTION]}) for e in episodes()]
    found = {f.check: f.verdict for f in check_store(store_of(bare))}
    assert found["cameras"] == found["camera timing"] == found["repeated frames"] == "skipped"
    assert found["idle stretches"] == found["repeated episodes"] == "ok"
