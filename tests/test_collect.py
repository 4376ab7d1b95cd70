"""Collecting loses nothing and invents nothing, whatever is killed on the way; the whole path counts along."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import counting
import numpy as np
import pytest
from rich.console import Console

from worldmodel.collect import CollectConfig, collect
from worldmodel.collect.config import MIXTURE
from worldmodel.collect.loop import Queue, _Bar
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, InterruptedStoreError, StoreError, layout, verify
from worldmodel.data.inspect import InspectConfig, info, summary
from worldmodel.files import read_json_lines
from worldmodel.rollout import rollout
from worldmodel.schema import (
    ACTION,
    AUDIO,
    ENVIRONMENT_STATE,
    EXECUTED,
    STATE,
    Episode,
    image_key,
    segmentation_key,
)

FAKES = Path(counting.__file__).parent
sys.path.insert(0, str(FAKES.parents[1] / "scripts"))
from outcomes import happened, main, table  # noqa: E402

TAIL = 3


def config(path, **changes):
    values = {"task": "count", "episodes": 12, "size": 8, "tail": TAIL, "workers": "2", "timeout": 20.0}
    return CollectConfig(out=str(path), **{**values, **changes})


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A store collected without any trouble."""
    path = tmp_path_factory.mktemp("straight") / "store"
    assert collect(config(path)) == 0
    return EpisodeStore.open(path)


def program(path, **environment):
    """The same collection as a process of its own, slow enough to be interrupted."""
    code = f"import sys; sys.path[:0] = {[str(FAKES), str(FAKES.parents[1])]!r}; import counting; "
    code += f"sys.exit(counting.main({str(path)!r}, '12'))"
    environment = {**os.environ, "COUNTING_SECONDS": "0.15", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, start_new_session=True, **pipes)


def wait_for(path, episodes, process):
    """Until the journal holds so many episodes."""
    deadline = time.monotonic() + 60
    while sum("episode" in line for line, _ in read_json_lines(path / layout.JOURNAL)) < episodes:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def test_collect_store_read_and_rollout_count_along(straight):
    expected = [seed for seed in range(20) if counting.succeeds(seed)][:12]
    assert straight.seeds.tolist() == expected
    assert straight.meta["dropped_seeds"] == [seed for seed in range(expected[-1]) if not counting.succeeds(seed)]
    assert verify(straight.path) == []
    for index in range(straight.episodes):
        recorded = straight.episode(index)
        counting.check(recorded, TAIL)
        again = rollout(counting.CountingPolicy(), counting.CountingEnv(), recorded.seed)
        for key, values in again.arrays.items():
            assert (values == recorded.arrays[key][: len(values)]).all()
    provenance = straight.meta["provenance"]
    assert provenance["environment"] == {"count": {"counts": 1, "world": "a"}}
    assert provenance["recipe"]["tasks"] == ["count"] and provenance["licence"] == "Apache-2.0"
    assert provenance["command"].startswith("worldmodel collect task=count episodes=12 seed=0 out=")


def test_the_real_expert_fills_a_store_that_does_not_depend_on_the_workers(tmp_path):
    prints = []
    for workers in ("1", "2"):
        path = tmp_path / workers
        wanted = CollectConfig(out=str(path), task="[lift_can,place_can]", episodes=3, size=16, tail=4, workers=workers)
        assert collect(wanted) == 0
        prints.append(EpisodeStore.open(path).fingerprint)
    assert prints[0] == prints[1]
    store = EpisodeStore.open(path)
    assert [store.tasks[i] for i in store.task_index] == ["lift_can", "place_can", "lift_can"]
    episode = store.episode(1)
    assert episode.success and len(episode) == episode.info["success_step"] + 4
    pushed = (store.array(ACTION)[:] != store.array(EXECUTED)[:]).any(axis=1)
    assert 0 < pushed.mean() < 0.5
    assert len(set(episode.arrays["phase"].tolist())) >= 5
    assert episode.arrays[image_key("wrist")].shape == (len(episode), 16, 16, 3)
    assert episode.arrays[image_key("wrist")].std() > 5 and episode.arrays[image_key("scene")].std() > 5


def test_a_microphone_is_recorded_and_reported(tmp_path, capsys):
    wanted = CollectConfig(
        out=str(tmp_path / "s"), task="lift_can", episodes=1, cameras="[]", microphone=True, workers="1"
    )
    assert "microphone=True" in wanted.command() and collect(wanted) == 0
    store = EpisodeStore.open(tmp_path / "s")
    audio = store.array(AUDIO)[:]
    assert audio.shape == (store.steps, 400) and audio.dtype == "float32"
    assert not audio[0].any() and audio.any(axis=1).mean() > 0.3
    assert store.meta["provenance"]["environment"]["lift_can"]["microphone"] == 8000
    assert verify(store.path) == []
    assert summary(store)["waveforms"]["observation.audio"]["hertz"] == 8000
    info(InspectConfig(str(store.path)))
    assert re.search(r"observation\.audio +8000 Hz, active on [1-9]\d* % of steps", capsys.readouterr().out)
    with pytest.raises(UserError, match="microphone=True, expected microphone=False"):
        collect(replace(wanted, microphone=False))


def test_a_mixture_keeps_what_fails_and_says_who_acted(tmp_path, capsys):
    wanted = CollectConfig(
        out=str(tmp_path / "s"), behaviour="mixed", episodes=5, size=16, segmentation=True, workers="2", seed=20
    )
    assert "behaviour=mixed" in wanted.command() and collect(wanted) == 0
    assert "without success and kept" in capsys.readouterr().out
    store = EpisodeStore.open(tmp_path / "s")
    assert store.seeds.tolist() == [20, 21, 22, 23, 24] and not store.meta["dropped_seeds"] and not store.success.all()
    assert [store.episode(i).info["behaviour"] for i in range(5)] == list(MIXTURE)
    assert store.meta["provenance"]["recipe"]["behaviour"] == "mixed"
    for index, who in enumerate(MIXTURE):
        arrays = store.episode(index).arrays
        same = (arrays[ACTION] == arrays[EXECUTED]).all()
        assert same == (who in ("play", "random"))
        parts = arrays[segmentation_key("wrist")]
        assert (
            parts.shape == (len(arrays[ACTION]), 16, 16) and set(np.unique(parts)) <= {0, 1, 2} and (parts == 1).any()
        )
    assert verify(store.path) == []
    shares = table(store)
    assert shares["play"]["episodes"] == 2 and shares["expert"]["success"] == shares["expert"]["grasped"] == 1
    assert main([str(store.path)]) == 0 and "| play | 2 | 160 |" in capsys.readouterr().out
    for change in ({"behaviour": "play"}, {"segmentation": False}):
        key = next(iter(change))
        with pytest.raises(UserError, match=f"made with {key}=.*, expected {key}={change[key]}"):
            collect(replace(wanted, **change))


def test_a_store_from_before_behaviours_is_the_experts(straight):
    recipe = straight.meta["provenance"]["recipe"]
    assert not {"behaviour", "segmentation"} & recipe.keys(), "an old recipe and one of today are the same record"
    assert straight.meta["info"][0].keys() == {"success_step"}
    assert collect(config(straight.path)) == 0
    with pytest.raises(UserError, match="made with behaviour=expert, expected behaviour=play"):
        collect(config(straight.path, behaviour="play"))


def test_what_became_of_the_can_is_read_from_its_positions():
    steps = 30
    told, state = np.zeros((steps, 10), np.float32), np.zeros((steps, 4), np.float32)
    told[:, :4], state[:, 3] = [0.5, -0.1, 0.059, 1], 0.09
    state[:, :3] = [0.5, 0.1, 0.2]
    quiet = Episode({ENVIRONMENT_STATE: told, STATE: state}, "place_can", 0, False)
    assert not any(happened(quiet).values())
    told, state = told.copy(), state.copy()
    told[5:15, 2] += 0.1
    state[5:15] = [0.5, -0.1, 0.18, 0.06]
    told[20:, 3:5] = [np.sqrt(0.5), np.sqrt(0.5)]
    told[25:, 0] = 0.8
    assert all(happened(Episode({ENVIRONMENT_STATE: told, STATE: state}, "place_can", 0, False)).values())
    with pytest.raises(ValueError, match="which says where the can is"):
        happened(Episode({STATE: state}, "place_can", 0, False))


def test_kill_9_then_resume_gives_the_same_store(straight, tmp_path):
    path = tmp_path / "store"
    process = program(path)
    wait_for(path, 3, process)
    process.kill()
    process.wait()
    with pytest.raises(InterruptedStoreError, match=r"interrupted .* of 12 episodes.*worldmodel collect task=count"):
        EpisodeStore.open(path)
    kept = sum("episode" in line for line, _ in read_json_lines(path / layout.JOURNAL))
    assert 3 <= kept < 12
    assert collect(config(path)) == 0
    assert EpisodeStore.open(path).fingerprint == straight.fingerprint
    assert not (path / layout.UNSEALED).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_keeps_what_is_done_and_says_how_to_go_on(straight, tmp_path, number):
    path = tmp_path / "store"
    process = program(path)
    wait_for(path, 2, process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends it to the workers too
    else:
        process.send_signal(number)
    said, complaints = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in complaints
    assert (
        "of 12 episodes are kept" in said
        and f"resume with: worldmodel collect task=count episodes=12 seed=0 out={path}" in said
    )
    assert collect(config(path)) == 0
    assert EpisodeStore.open(path).fingerprint == straight.fingerprint


@pytest.mark.parametrize(("trouble", "timeout"), [("die", 20.0), ("hang", 4.0)])
def test_a_dead_or_hung_worker_is_replaced(straight, tmp_path, monkeypatch, capsys, trouble, timeout):
    monkeypatch.setenv(f"COUNTING_{trouble.upper()}", f"4:{tmp_path / 'mark'}")
    path = tmp_path / "store"
    assert collect(config(path, timeout=timeout)) == 0
    assert (tmp_path / "mark").exists() and "1 workers replaced" in capsys.readouterr().out
    assert EpisodeStore.open(path).fingerprint == straight.fingerprint


def test_a_seed_that_always_kills_its_worker_ends_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTING_ALWAYS_DIE", f"2:{tmp_path / 'mark'}")
    with pytest.raises(UserError, match=r"died \(exit code -9\) 3 times on seed 2"):
        collect(config(tmp_path / "store"))


def test_an_error_in_a_worker_is_one_line_with_the_traceback_beside_it(straight, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTING_RAISE", f"5:{tmp_path / 'mark'}")
    path = tmp_path / "store"
    with pytest.raises(UserError, match="failed on seed 5: RuntimeError: the simulator exploded") as caught:
        collect(config(path))
    assert "\n" not in str(caught.value)
    assert "Traceback" in (path / layout.UNSEALED / "worker-error.txt").read_text()
    assert collect(config(path)) == 0
    assert EpisodeStore.open(path).fingerprint == straight.fingerprint


def test_a_finished_store_is_left_alone(straight, capsys):
    before = {file: file.stat().st_mtime_ns for file in straight.path.rglob("*")}
    assert collect(config(straight.path, workers="1")) == 0
    assert "is complete" in capsys.readouterr().out
    for change in ({"episodes": 11}, {"seed": 1}, {"noise": 0.5}, {"task": "other"}, {"size": 16}):
        with pytest.raises(
            UserError, match=f"holds a store made with {'tasks' if 'task' in change else next(iter(change))}="
        ):
            collect(config(straight.path, **change))
    assert before == {file: file.stat().st_mtime_ns for file in straight.path.rglob("*")}


def test_an_unfinished_store_is_resumed_only_by_the_same_recipe_and_simulator(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTING_RAISE", f"1:{tmp_path / 'mark'}")
    path = tmp_path / "store"
    with pytest.raises(UserError, match="exploded"):
        collect(config(path))
    with pytest.raises(UserError, match=r"noise=1.0, expected noise=0.25; resume it with the same arguments"):
        collect(config(path, noise=0.25))
    monkeypatch.setenv("COUNTING_WORLD", "b")
    with pytest.raises(UserError, match="another simulator: world was a, is b"):
        collect(config(path))


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("irreplaceable")
    with pytest.raises(StoreError, match="already exists and is not an unfinished store"):
        collect(config(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "irreplaceable"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "episodes=0: expected 1 to"),
        ({"noise": 3.0}, "noise=3.0: expected 0 to 2"),
        ({"size": 7}, "size=7: expected 8 to 1024"),
        ({"behaviour": "plya"}, "behaviour=plya: no such behaviour; did you mean 'play'"),
        ({"workers": "many"}, "workers=many: expected auto or a number"),
        ({"timeout": 0.0}, "timeout=0.0: expected"),
    ],
)
def test_bad_values_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        config(tmp_path / "store", **change)


def test_unknown_tasks_and_cameras_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match=r"unknown task 'place_cam'.*did you mean 'place_can'"):
        collect(CollectConfig(out=str(tmp_path / "store"), task="[lift_can,place_cam]"))
    with pytest.raises(ValueError, match="unknown camera 'front'"):
        collect(CollectConfig(out=str(tmp_path / "store"), cameras="[front]"))
    assert not (tmp_path / "store").exists()


def test_tasks_take_turns_by_seed():
    recipe = CollectConfig(out="x", task="[place_can, lift_can]", seed=7).recipe()
    assert [recipe.task_of(seed) for seed in (7, 8, 9, 10)] == ["place_can", "lift_can", "place_can", "lift_can"]


def test_the_queue_tries_exactly_the_seeds_that_are_needed():
    queue = Queue(due=10, kept=0, wanted=3, waiting=[])
    assert [queue.draw() for _ in range(4)] == [10, 11, 12, None]
    queue.settle(11, False)
    assert [queue.draw(), queue.draw()] == [13, None]
    queue.settle(13, True)
    assert queue.draw() is None


def test_the_queue_takes_over_episodes_that_waited_through_a_crash():
    queue = Queue(due=12, kept=1, wanted=4, waiting=[11, 13, 15])
    assert queue.due == 12 and 11 not in queue.finished
    assert [queue.draw(), queue.draw(), queue.draw()] == [12, 14, None]
    queue.settle(14, False)
    assert queue.draw() is None and queue.next == 16


def test_the_queue_tries_no_seed_that_was_stored_while_all_workers_were_busy():
    queue = Queue(due=3, kept=0, wanted=3, waiting=[4])
    assert queue.draw() == 3
    queue.due, queue.kept = 5, 2  # 3 came back, and 4 had waited
    queue.settle(3, True)
    del queue.finished[3], queue.finished[4]
    assert queue.draw() == 5


def test_a_collection_that_keeps_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with _Bar(Console(width=200), total=2, done=0) as bar:
        for dropped in (0, 30):
            bar.spoke -= 11
            bar.update(0, dropped)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("starting simulators")
    assert second.endswith("none of 30 met the success rule; can the expert?")
