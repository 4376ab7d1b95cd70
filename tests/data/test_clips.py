"""Windows: the right steps of the right episode, an order that depends on the step alone."""

from pathlib import Path

import numpy as np
import pytest
from small import small_store

from worldmodel.data.clips import Clips, ClipSpec, tolerance
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode

SPEC = ClipSpec(("scene", "wrist"), 16, ("place_can", "lift_can"))


def test_a_window_holds_its_own_steps(tmp_path: Path) -> None:
    clips = Clips([small_store(tmp_path / "s")], SPEC)
    assert len(clips) == 33
    clip = clips.gather(np.array([0, 8, 22]), np.array([[1, 4], [2, 16], [3, 16]]))
    assert clip.state[:, 0].tolist() == [0, 8, 22]
    assert clip.action[1, :, 0].tolist() == [*range(9, 21), *[20] * 4], "padded with the episode's last step"
    assert clip.images[2, 0, 0, 0].tolist() == [22] * 3 and clip.images[2, 1, 0, 0].tolist() == [233] * 3
    assert clip.future[0, :, 0, 0, 0, 0].tolist() == [1, 4]
    assert clip.future_valid.tolist() == [[True, True], [True, False], [True, False]]
    assert clip.task.tolist() == [0, 0, 0]


def test_steps_after_a_push_or_the_end_do_not_count(tmp_path: Path) -> None:
    clips = Clips([small_store(tmp_path / "s")], SPEC)
    valid = clips.gather(np.array([0, 5, 6, 18])).valid
    assert valid[0].tolist() == [True] * 6 + [False] * 10, "the push at step 5 could not be foreseen"
    assert valid[1].tolist() == [True] + [False] * 15
    assert valid[2].tolist() == [True] * 14 + [False] * 2
    assert valid[3].tolist() == [True] * 2 + [False] * 14


def test_every_window_comes_once_an_epoch_whatever_the_batch(tmp_path: Path) -> None:
    clips = Clips([small_store(tmp_path / "s")], SPEC)
    seen = np.concatenate([clips.order(step, 11, seed=4) for step in range(6)])
    assert sorted(seen[:33]) == sorted(seen[33:]) == list(range(33))
    assert seen[:33].tolist() != seen[33:].tolist()
    np.testing.assert_array_equal(seen[:32], np.concatenate([clips.order(step, 8, seed=4) for step in range(4)]))
    assert len(clips.order(0, 100, seed=4)) == 100


def test_several_stores_and_memory_give_the_same_windows(tmp_path: Path) -> None:
    stores = [small_store(tmp_path / "a"), small_store(tmp_path / "b", (9,), "lift_can")]
    clips = Clips(stores, SPEC)
    windows, at = np.array([40, 3, 35]), np.array([[1, 2]] * 3)
    mapped = clips.gather(windows, at)
    assert mapped.task.tolist() == [1, 0, 1] and mapped.state[:, 0].tolist() == [7, 3, 2]
    clips.load()
    for name, value in clips.gather(windows, at).__dict__.items():
        np.testing.assert_array_equal(value, getattr(mapped, name))


def test_held_out_episodes_are_the_rest(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", (10, 10, 10, 10))
    kept, rest = (Clips([store], SPEC, holdout=0.25, split=split) for split in ("train", "held out"))
    assert kept.time.tolist() == list(range(30)) and rest.time.tolist() == list(range(30, 40))


def test_a_store_that_does_not_fit_says_what_it_lacks(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", task="stack_can")
    with pytest.raises(ValueError, match="holds task 'stack_can', the model knows place_can, lift_can"):
        Clips([store], SPEC)
    with pytest.raises(ValueError, match=r"no array 'observation.images.top'"):
        Clips([store], ClipSpec(("top",), 16, ("stack_can",)))


def test_what_was_done_counts_after_a_push_too(tmp_path: Path) -> None:
    clips = Clips([small_store(tmp_path / "s")], SPEC)
    wanted, done = (clips.gather(np.array([0, 18]), done=done) for done in (False, True))
    np.testing.assert_array_equal(done.action, wanted.executed)
    assert (done.action != wanted.action).any() and done.valid.tolist() == [[True] * 16, [True] * 2 + [False] * 14]


def test_noise_on_every_step_is_no_push_but_what_stands_out_is(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wanted = np.zeros((1000, 2), np.float32)
    noise = random.normal(size=(1000, 2)).astype(np.float32) * np.float32([0.01, 0])
    pushes = np.where(np.arange(1000) % 50 == 0, np.float32(0.2), np.float32(0))[:, None]

    def store(name: str, **more: np.ndarray) -> EpisodeStore:
        writer = EpisodeStore.create(tmp_path / name, {"licence": "Apache-2.0"})
        writer.append(Episode({STATE: wanted, ACTION: wanted, **more}, "place_can", 0, True))
        writer.seal()
        return EpisodeStore.open(tmp_path / name)

    assert tolerance(store("alone")).tolist() == pytest.approx([1e-6, 1e-6])
    assert tolerance(store("rare", **{EXECUTED: wanted + pushes})).tolist() == pytest.approx([1e-6, 1e-6])
    both = store("both", **{EXECUTED: wanted + noise + pushes})
    pushed = np.abs(noise + pushes) > tolerance(both)
    assert pushed[::50].all() and pushed[:, 1].sum() == 20 and pushed[:, 0].sum() < 25
    clips = Clips([both], ClipSpec((), 16, ("place_can",)))
    assert clips.gather(np.array([1])).valid.all() and clips.gather(np.array([40])).valid.sum() == 11


def test_demonstrations_are_the_experts_where_recordings_say_who_acted(tmp_path: Path) -> None:
    told = small_store(tmp_path / "told", (7, 8, 9), behaviours=("play", "expert", "random"))
    clips = Clips([told, small_store(tmp_path / "silent", (8,))], SPEC)
    assert np.flatnonzero(clips.demonstrated).tolist() == [*range(7, 15), *range(24, 32)]
    chosen = np.concatenate([clips.order(step, 8, seed=1, demonstrated=True) for step in range(2)])
    assert sorted(chosen) == np.flatnonzero(clips.demonstrated).tolist()
