"""Starts files: what is written is what is read, and anything else is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from arcade import starts_of

from worldmodel.evaluate.initial_states import SPLITS, Starts, StartsError, find
from worldmodel.evaluate.starts import FIRST_SEED, SEEDS_PER_SET, StartsConfig, freeze, starts
from worldmodel.sims.base import STATE, EnvInfo, InitialState, Simulator, state_hash

ROOT = Path(__file__).parents[2]


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    made = starts_of(5)
    made.save(tmp_path / "a.npz")
    read = Starts.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.states, made.states)
    assert (read.task, read.seeds, read.hashes, read.sha256) == (made.task, made.seeds, made.hashes, made.sha256)
    start = read.first(2)[1]
    assert (start.index, start.seed, start.sha256) == (1, 1, state_hash(made.states[1]))
    made.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes(), "the same starts, the same file"


def rewrite(path: Path, **changes: np.ndarray) -> None:
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    with path.open("wb") as file:
        np.savez(file, **(arrays | changes))


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(StartsError, match=r"no starts file .*s\.npz; make one: worldmodel starts"):
        Starts.load(path)
    for content in (b"", b"nonsense", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(StartsError, match="damaged or none at all") as told:
            Starts.load(path)
        assert "\n" not in str(told.value)
    made = starts_of(5)
    made.save(path)
    whole = path.read_bytes()
    for at in range(40, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert Starts.load(path).sha256 == made.sha256, f"a flipped bit at {at} changed the starts unseen"
        except StartsError:
            continue


def test_edits_are_found(tmp_path: Path) -> None:
    path, made = tmp_path / "s.npz", starts_of(5)
    made.save(path)
    states = made.states.copy()
    states[3, 1] += 1e-9
    rewrite(path, states=states)
    with pytest.raises(StartsError, match="state 3 does not match its sha256"):
        Starts.load(path)
    made.save(path)
    rewrite(path, seeds=np.arange(5) + 1)
    with pytest.raises(StartsError, match="does not match its own sha256"):
        Starts.load(path)
    made.save(path)
    rewrite(path, meta=np.frombuffer(json.dumps({"format": "x"}).encode(), np.uint8))
    with pytest.raises(StartsError, match="damaged"):
        Starts.load(path)


def test_pickled_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    starts_of(2).save(path)
    rewrite(path, states=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StartsError, match="damaged"):
        Starts.load(path)


def test_what_does_not_fit_is_refused() -> None:
    made, path = starts_of(5), Path("s.npz")
    made.check(path, "count", 5, "s")
    with pytest.raises(StartsError, match="is for task 'count', expected 'place_can'; use task=count"):
        made.check(path, "place_can", 5, "s")
    with pytest.raises(StartsError, match="belongs to scene s, this is t; freeze new starts"):
        made.check(path, "count", 5, "t")
    with pytest.raises(StartsError, match=r"episodes=6: starts file s\.npz holds 5; use episodes=5"):
        made.check(path, "count", 6, "s")
    with pytest.raises(StartsError, match="none are shipped for task 'count'"):
        find("test", "count")


class FakeSimulator(Simulator):
    """Every third start is solved."""

    def __init__(self) -> None:
        self.info = EnvInfo("fake", (), 8, 20.0, 9, 4, 4, "never")

    def reset(self, start: InitialState) -> None:
        self.scene = start.seed

    @property
    def solved(self) -> bool:
        return self.success or self.scene % 3 == 0

    def get_state(self) -> np.ndarray:
        return np.array([self.scene], np.float64)

    def fingerprint(self) -> dict[str, str]:
        return {"mujoco": "1", "scene_sha256": "s", "gl": "none"}


def test_solved_starts_are_refused_and_seeds_kept_apart() -> None:
    frozen = freeze(FakeSimulator(), 10, seed=7)
    assert len(frozen) == 10
    assert frozen.refused == 5
    assert all(seed % 3 for seed in frozen.seeds)
    assert min(frozen.seeds) >= FIRST_SEED[STATE] + 7 * SEEDS_PER_SET > 2**31, "above every seed that collect accepts"
    assert not set(frozen.seeds) & set(freeze(FakeSimulator(), 10, seed=8).seeds)


def test_a_task_that_starts_solved_is_an_error() -> None:
    env = FakeSimulator()
    env.success = True
    with pytest.raises(StartsError, match="already solved"):
        freeze(env, 3, seed=0)


def test_the_verb_writes_once_and_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.npz"
    assert starts(StartsConfig(out=str(path), task="lift_can", episodes=3, seed=7)) == 0
    said = capsys.readouterr().out
    frozen = Starts.load(path)
    assert f"{path}: 3 starts of lift_can" in said
    assert frozen.sha256 in said
    with pytest.raises(Exception, match="exists, and fixed initial states are not replaced"):
        starts(StartsConfig(out=str(path), task="lift_can", episodes=3, seed=7))
    with pytest.raises(ValueError, match="unknown task 'pick_can'"):
        starts(StartsConfig(out=str(tmp_path / "t.npz"), task="pick_can"))
    with pytest.raises(ValueError, match="episodes=0: expected"):
        StartsConfig(out="x", episodes=0)


@pytest.mark.parametrize("task", ["lift_can", "place_can"])
def test_shipped_starts_fit_the_shipped_scene(task: str) -> None:
    """If this fails after a change of the scene, the protocol has changed: freeze anew and say so in eval/README.md."""
    from worldmodel import envs

    env = envs.make(task, render_images=False)
    hashes: list[str] = []
    for split in SPLITS:
        path = find(split, task)
        frozen = Starts.load(path)
        frozen.check(path, task, 200, env.fingerprint()["scene_sha256"])
        hashes += frozen.hashes
        for start in frozen.first(200)[::40]:
            env.reset(seed=start.seed, options={"state": start.state})
            assert not env.solved
            assert state_hash(env.get_state()) == start.sha256
        assert frozen.sha256 in (ROOT / "eval" / "README.md").read_text(), "the card states the hash of every file"
    assert len(set(hashes)) == len(hashes), "validation and test share no start"
