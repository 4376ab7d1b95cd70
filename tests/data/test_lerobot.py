"""LeRobot's data sets, written by LeRobot itself: read as they lie there, into stores and back without loss."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import LENGTHS, TASKS, need_lerobot, write_lerobot
from small import small_store

need_lerobot()

from worldmodel import cli  # noqa: E402
from worldmodel.config import UserError  # noqa: E402
from worldmodel.data import EpisodeStore, StoreError, verify  # noqa: E402
from worldmodel.data.card import origin, write_declared  # noqa: E402
from worldmodel.data.clips import Clips, ClipSpec  # noqa: E402
from worldmodel.data.formats.lerobot_convert import from_store, to_store  # noqa: E402
from worldmodel.data.formats.lerobot_data import Recording  # noqa: E402
from worldmodel.data.formats.lerobot_store import LeRobotStore, relative_dimensions  # noqa: E402
from worldmodel.data.inspect import InspectConfig, info  # noqa: E402
from worldmodel.data.inspect import verify as check  # noqa: E402
from worldmodel.data.source import open_source  # noqa: E402
from worldmodel.schema import ACTION, EXECUTED, STATE, image_key  # noqa: E402

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
IMAGE = image_key("cam")
NAMES = {"observation.image": "observation.images.image"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, np.ndarray]]]:
    root = tmp_path_factory.mktemp("lerobot") / "images"
    wrote = write_lerobot(root, "image", 10, extra=True)
    (root / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    return root, wrote


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, np.ndarray]]]:
    root = tmp_path_factory.mktemp("lerobot") / "videos"
    return root, write_lerobot(root, "video", 20)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_a_data_set_reads_like_a_store(images: Any) -> None:
    root, wrote = images
    store = LeRobotStore(str(root))
    assert (store.episodes, store.steps, store.rate, store.relative) == (3, sum(LENGTHS), 10.0, 2)
    assert store.tasks == TASKS and store.task_index.tolist() == [0, 1, 0]
    assert store.success.tolist() == [True, False, True], "what next.success says"
    assert store.row("observation.images.image") == (64, 96, 3) and store.dtype("pose") == np.float64
    for number, arrays in enumerate(wrote):
        episode = store.episode(number)
        for key, values in arrays.items():
            np.testing.assert_array_equal(episode.arrays[NAMES.get(key, key)], values, err_msg=key)
            assert episode.arrays[NAMES.get(key, key)].dtype == values.dtype
        assert episode.info["texts"]["note"][3] == "step 3"
    assert store.array("task_index")[-9:].tolist() == [0] * 5 + [1] * 4, "the last episode has two tasks"
    frames = store.array("observation.images.wrist").take(np.array([[20, 3], [-1, 3]]))
    np.testing.assert_array_equal(frames[0, 1], wrote[0]["observation.images.wrist"][3])
    np.testing.assert_array_equal(frames[1, 0], wrote[2]["observation.images.wrist"][-1])


def test_frames_of_videos_are_those_of_their_step(videos: Any) -> None:
    root, wrote = videos
    store = LeRobotStore(str(root))
    assert store.rate == 20 and "timestamp" not in store.keys and "task_index" not in store.keys
    frames = store.array("observation.images.image")
    whole = np.concatenate([arrays["observation.image"] for arrays in wrote])
    assert decibels(frames[:], whole) > 30
    picked = frames.take(np.array([17, 2, 26, 11]))
    np.testing.assert_array_equal(picked, frames[:][[17, 2, 26, 11]])
    for step, frame in zip((17, 2, 26, 11), picked, strict=True):
        errors = [decibels(frame, other) for other in whole]
        assert errors[step] == max(errors), "of its neighbours in time, the right one"


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_into_a_store_and_back_nothing_is_lost(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    root, _ = request.getfixturevalue(kind)
    direct, store = LeRobotStore(str(root)), to_store(f"lerobot:{root}", tmp_path / "store")
    assert verify(store.path) == [] and store.rate == direct.rate
    assert store.meta["provenance"]["converted"]["fingerprint"] == direct.fingerprint
    for kept in sorted(path for path in (store.path / "lerobot").rglob("*") if path.is_file()):
        whole = kept.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            kept.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert verify(store.path), f"a flipped byte of {kept.name} is found"
        kept.write_bytes(whole)
    assert verify(store.path) == []
    assert store.keys == direct.keys and store.ends.tolist() == np.cumsum(LENGTHS).tolist()
    for key in store.keys:
        np.testing.assert_array_equal(store.array(key)[:], direct.array(key)[:], err_msg=key)
    from_store(str(store.path), tmp_path / "back")
    before, after = Recording(str(root)), Recording(str(tmp_path / "back"))
    assert (before.fps, before.tasks, before.robot) == (after.fps, after.tasks, after.robot)
    assert list(before.features) == list(after.features)
    np.testing.assert_array_equal(before.ends, after.ends)
    for key, feature in before.features.items():
        same = {name: after.features[key].get(name) for name in ("dtype", "shape", "names")}
        assert same == {name: feature.get(name) for name in same}, key
        if feature["dtype"] in ("image", "video"):
            rows = np.arange(before.steps)
            one, other = before.frames(key, rows), after.frames(key, rows)
            assert decibels(one, other) > (30 if kind == "videos" else 130)
        elif feature["dtype"] == "string":
            assert before.texts(key) == after.texts(key)
        else:
            assert before.column(key).tobytes() == after.column(key).tobytes(), key
    stats = [json.loads((folder / "meta/stats.json").read_text()) for folder in (root, tmp_path / "back")]
    assert stats[0] == stats[1], "every number of the statistics, to the last bit"
    assert episode_stats(root) == episode_stats(tmp_path / "back")


def episode_stats(root: Path) -> list[dict[str, Any]]:
    import pandas

    table = pandas.concat(map(pandas.read_parquet, sorted((root / "meta/episodes").rglob("*.parquet"))))
    columns = sorted(name for name in table.columns if name.startswith("stats/") or name in ("tasks", "length"))
    return [{name: str(row[name]) for name in columns} for _, row in table.iterrows()]


def test_a_store_of_ours_comes_back_with_its_fingerprint(tmp_path: Path) -> None:
    writer = EpisodeStore.create(tmp_path / "plain", {"licence": "Apache-2.0", "rate": 10})
    source = small_store(tmp_path / "small")
    for number in range(2):
        episode = source.episode(number)
        more = {
            "phase": np.arange(len(episode), dtype=np.int8),
            "simulator_state": np.random.default_rng(number).random((len(episode), 5)),
        }
        arrays = {**episode.arrays, **more}
        writer.append(type(episode)(arrays, ("lift_can", "place_can")[number], 7 + number, number == 1, {"step": 3}))
    writer.drop(99)
    writer.seal()
    first = EpisodeStore.open(tmp_path / "plain")
    from_store(str(first.path), tmp_path / "lerobot")
    second = to_store(str(tmp_path / "lerobot"), tmp_path / "again")
    assert second.fingerprint == first.fingerprint and verify(second.path) == []
    assert second.meta["info"] == first.meta["info"] and second.meta["dropped_seeds"] == [99]
    assert {k: v for k, v in second.meta["provenance"].items() if k != "converted"} == first.meta["provenance"]
    from_store(str(second.path), tmp_path / "small_video", "video", ("simulator_state", EXECUTED))
    third = LeRobotStore(str(tmp_path / "small_video"))
    assert third.seeds.tolist() == [7, 8] and EXECUTED not in third.keys
    assert decibels(third.array(image_key("scene"))[:], first.array(image_key("scene"))[:]) > 38


def test_odd_timestamps_survive(tmp_path: Path) -> None:
    writer = EpisodeStore.create(tmp_path / "store", {"rate": 20})
    seconds = (np.arange(9) / 20 + np.linspace(0, 3e-5, 9)).astype(np.float32)
    episode = small_store(tmp_path / "small", (9,)).episode(0)
    arrays = {key: episode.arrays[key] for key in (ACTION, STATE)} | {"timestamp": seconds}
    writer.append(type(episode)(arrays, "place_can", 0, True))
    writer.seal()
    from_store(str(tmp_path / "store"), tmp_path / "lerobot")
    assert LeRobotStore(str(tmp_path / "lerobot")).array("timestamp")[:].tobytes() == seconds.tobytes()


def test_windows_come_straight_from_a_data_set(images: Any) -> None:
    root, wrote = images
    store = open_source(f"lerobot:{root}", size=32)
    clips = Clips([store], ClipSpec(("image", "wrist"), 4, TASKS))
    clip = clips.gather(np.array([0, 9, 12]), np.array([[1, 3]] * 3))
    assert clip.images.shape == (3, 2, 32, 32, 3) and clip.future.shape == (3, 2, 2, 32, 32, 3)
    np.testing.assert_array_equal(clip.executed, clip.action, "what was not recorded apart was what was wanted")
    np.testing.assert_array_equal(clip.action[0], wrote[0]["action"][:4])
    assert clip.valid[1].tolist() == [True, True, False, False] and clip.task.tolist() == [0, 0, 1]
    clips.load()
    np.testing.assert_array_equal(clips.gather(np.array([0, 9, 12]), np.array([[1, 3]] * 3)).future, clip.future)


def test_it_is_told_about_like_a_store(images: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = images
    assert info(InspectConfig(store=f"lerobot:{root}", json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rate"] == 10 and found["steps"] == sum(LENGTHS) and found["successes"] == 2
    assert found["hours"] == pytest.approx(sum(LENGTHS) / 36000)
    assert found["tasks"] == {TASKS[0]: 2, TASKS[1]: 1} and found["provenance"]["lerobot"]["format"] == "v3.0"
    assert found["provenance"]["licence"] == "cc-by-4.0"


def test_an_interrupted_conversion_goes_on(images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = images
    whole, read = to_store(str(root), tmp_path / "whole"), LeRobotStore.episode

    def interrupted(store: LeRobotStore, number: int) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return read(store, number)

    monkeypatch.setattr(LeRobotStore, "episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        to_store(str(root), tmp_path / "store")
    with pytest.raises(StoreError, match=rf"1 of \? episodes\); resume it with `worldmodel data convert {root} out="):
        EpisodeStore.open(tmp_path / "store")
    monkeypatch.setattr(LeRobotStore, "episode", lambda store, number: read(store, number) if number else None)
    assert to_store(str(root), tmp_path / "store").fingerprint == whole.fingerprint
    monkeypatch.setattr("worldmodel.data.formats.lerobot_convert._add", interrupted_at_once)
    with pytest.raises(KeyboardInterrupt):
        from_store(str(whole.path), tmp_path / "back")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("back")]


def interrupted_at_once(*_: Any) -> None:
    raise KeyboardInterrupt


def test_what_has_no_place_is_left_out_when_asked(images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithDepth(Recording):
        def __init__(self, source: str) -> None:
            super().__init__(source)
            self.depth = ("observation.image",)

    monkeypatch.setattr("worldmodel.data.formats.lerobot_store.Recording", WithDepth)
    with pytest.raises(StoreError, match=r"no place for observation.image .*; add without=observation.image to leave"):
        to_store(str(images[0]), tmp_path / "all")
    store = to_store(str(images[0]), tmp_path / "store", ("observation.image", "pose"))
    assert "observation.images.image" not in store.keys and "pose" not in store.keys
    from_store(str(store.path), tmp_path / "back")
    back = Recording(str(tmp_path / "back"))
    assert set(Recording(str(images[0])).features) - set(back.features) == {"observation.image", "pose"}


def test_errors_are_one_line_and_say_what_to_do(images: Any, tmp_path: Path) -> None:
    root, _ = images
    with pytest.raises(FileNotFoundError, match=r"no LeRobot data set \(no meta/info.json in it\)"):
        LeRobotStore(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no folder, and no OWNER/NAME"):
        LeRobotStore(str(tmp_path / "absent"))
    old = tmp_path / "old" / "meta"
    old.mkdir(parents=True)
    (old / "info.json").write_text(json.dumps({"codebase_version": "v2.1"}))
    with pytest.raises(StoreError, match=r"format v2.1, expected v3; convert it with"):
        LeRobotStore(str(tmp_path / "old"))
    with pytest.raises(StoreError, match=r"has no column 'depth'; it has observation.image"):
        LeRobotStore(str(root), ("depth",))
    with pytest.raises(StoreError, match="already exists"):
        from_store(str(small_store(tmp_path / "s").path), tmp_path / "old")


def test_relative_dimensions_are_found_in_the_numbers() -> None:
    rng = np.random.default_rng(0)
    state = np.cumsum(rng.normal(size=(400, 4)), axis=0)
    targets = np.concatenate([state[:, :3] + 0.1, rng.choice([-1, 1], (400, 1))], axis=1)
    assert relative_dimensions(targets, state) == 3
    assert relative_dimensions(0.1 * rng.normal(size=(400, 4)), state) == 0, "differences are not targets"
    assert relative_dimensions(np.zeros((400, 7)), state) == 0


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux alone tells a thread's scheduling")
def test_encoding_video_leaves_scheduling_as_it_was(tmp_path: Path) -> None:
    """The encoder of LeRobot's default video makes root's threads real-time ones: two busy children then starve all."""
    store = small_store(tmp_path / "store")
    from_store(str(store.path), tmp_path / "video", "video", encoder={})
    policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}  # noqa: PTH208
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}


def test_what_people_said_of_a_store_comes_back(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    write_declared({"licence": "CC-BY-4.0", "consent": "signed"}, store.path, store.fingerprint)
    from_store(str(store.path), tmp_path / "lerobot")
    again = to_store(f"lerobot:{tmp_path / 'lerobot'}", tmp_path / "again")
    for kept in (open_source(f"lerobot:{tmp_path / 'lerobot'}"), again):
        assert origin(kept)["card"]["consent"] == {"value": "signed", "by": "person"}
        assert origin(kept)["card"]["licence"] == {"value": "CC-BY-4.0", "by": "person"}
    assert verify(again.path) == []


def filled(root: Path, value: float, **features: Any) -> Path:
    """One episode whose numbers are all ``value``; further ``features`` with a maker of each."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    vector = {"dtype": "float32", "shape": (2,), "names": ["x", "y"]}
    picture = {"dtype": "image", "shape": (64, 64, 3), "names": ["height", "width", "channels"]}
    described = {key: feature for key, (feature, _) in features.items()}
    shutil.rmtree(root, ignore_errors=True)
    made = LeRobotDataset.create(
        "local/x", 10, {IMAGE: picture, STATE: vector, ACTION: vector, **described}, root=root, use_videos=False
    )
    for step in range(12):
        numbers = np.full(2, value, np.float32)
        frame = {IMAGE: np.full((64, 64, 3), step, np.uint8), STATE: numbers, ACTION: numbers}
        made.add_frame({**frame, **{key: make(step) for key, (_, make) in features.items()}, "task": "stack"})
    made.save_episode()
    made.finalize()
    return root


def test_replaced_data_are_read_anew_whatever_their_times_say(tmp_path: Path) -> None:
    found = []
    for value in (1.0, 2.0):
        root = filled(tmp_path / "data", value)
        for file in root.rglob("*"):
            os.utime(file, (1e9, 1e9))
        found.append(np.unique(LeRobotStore(str(root)).array(ACTION)[:]).tolist())
    assert found == [[1.0], [2.0]]


def test_depth_as_arrays_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    depth = {"dtype": "uint16", "shape": (64, 64, 1), "names": ["h", "w", "c"]}
    key = image_key("cam_depth")
    root = filled(tmp_path / "data", 1.0, **{key: (depth, lambda step: np.full((64, 64, 1), 900 + step, np.uint16))})
    store = LeRobotStore(str(root))
    assert store.left_out == [key] and key not in store.keys and IMAGE in store.keys
    with pytest.raises(StoreError, match=f"no place for {key}.*add without={key}"):
        to_store(str(root), tmp_path / "store")
    words = ["experiment=gym", "model=nano", f"data=lerobot:{root}", f"out={tmp_path / 'run'}", "steps=1", "batch=2"]
    assert cli.main(["train", *words, "compile=false"]) == 0
    assert f"left out, no pictures of three colours or language: {key}" in " ".join(capsys.readouterr().err.split())


def test_a_missing_file_is_named_and_no_hub_is_asked(videos: Any, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(videos[0], root)
    film = next((root / "videos").rglob("*.mp4"))
    film.unlink()
    with pytest.raises(StoreError, match=rf"{film} is missing \(episode 0 is in it\); copy the data set again"):
        Recording(str(root))
    table = next((root / "data").rglob("*.parquet"))
    table.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(StoreError, match=f"{table} is a git-lfs pointer.*git lfs pull"):
        Recording(str(root))
    shutil.rmtree(root / "meta" / "episodes")
    table.write_bytes(b"")
    with pytest.raises(StoreError, match="meta/episodes is missing"):
        Recording(str(root))


def test_checksums_are_what_stores_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"LeRobot keeps no checksums.*`worldmodel data health lerobot:x`"):
        check(InspectConfig("lerobot:x"))
