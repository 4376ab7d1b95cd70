"""Dreams under recorded actions: the course, the measure, what is written, and the numbers that tell of a collapse."""

import json
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from small import CONFIG, dreaming_model, small_model, small_store

from worldmodel import checkpoint
from worldmodel.collect import CollectConfig, collect
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.imagine.command import imagine
from worldmodel.imagine.config import ImagineConfig
from worldmodel.imagine.rollout import choose, real_frames, recorded_actions, roll_out, simulate
from worldmodel.imagine.rollout_quality import image_stats, object_persistence, within_range
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.schema import EXECUTED
from worldmodel.sims.can.tasks import shows_can
from worldmodel.train.config import ModesConfig


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    root = tmp_path_factory.mktemp("streaming")
    small_store(root / "data", lengths=(24, 6))
    checkpoint.save(dreaming_model(), root / "model", {"train": {"modes": asdict(ModesConfig(rollout=1))}})
    return str(root / "data"), root


@pytest.fixture
def clips(ground: tuple[str, Path]) -> Clips:
    return Clips([EpisodeStore.open(ground[0])], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))


def test_the_verb_measures_and_films(ground: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, root = ground
    config = ImagineConfig("rollout", data, str(root / "model"), str(tmp_path), 3, show=2, length=12, threads=1)
    assert imagine(config) == 0
    found = json.loads((tmp_path / "rollout.json").read_text())
    assert (
        found["rollouts"] == 3
        and found["length"] == 12
        and found["frames"][0].keys() >= {"imagined", "copy_last_frame"}
    )
    assert all(
        0 <= number["usual_within"] <= number["within"] <= 1
        for numbers in found["image_stats"].values()
        for number in numbers.values()
    )
    assert "within the range of real ones" in capsys.readouterr().out
    with av.open(str(tmp_path / "rollout_1.mp4")) as film:
        assert "Generated" in film.metadata["comment"] and film.streams.video[0].average_rate == 20
        assert sum(1 for _ in film.decode(video=0)) == 12
    assert "Generated" in Image.open(tmp_path / "rollout.png").text["Comment"]
    assert not (tmp_path / "rollout_2.mp4").exists()


def test_the_range_of_real_frames_may_be_that_of_other_recordings(ground: tuple[str, Path], tmp_path: Path) -> None:
    data, root = ground
    ranges = {}
    others = str(small_store(tmp_path / "others", lengths=(12,)).path)
    for real in (None, data, others, f"{data},{others}"):
        config = ImagineConfig(
            "rollout", data, str(root / "model"), str(tmp_path), 2, length=3, references=real, threads=1
        )
        assert imagine(config) == 0
        found = json.loads((tmp_path / "rollout.json").read_text())
        ranges[real] = (
            found["references"],
            [value["real"] for part in found["image_stats"].values() for value in part.values()],
        )
    assert ranges[None] == ranges[data] and ranges[None][0] == data
    assert ranges[others][1] != ranges[data][1]
    pairs = zip(ranges[data][1], ranges[others][1], strict=True)
    assert ranges[f"{data},{others}"][1] == [[min(a[0], b[0]), max(a[1], b[1])] for a, b in pairs]


def test_a_checkpoint_that_does_not_rollout_is_refused(ground: tuple[str, Path], tmp_path: Path) -> None:
    data, root = ground
    checkpoint.save(small_model(), root / "plain", {"train": {"modes": asdict(ModesConfig())}})
    checkpoint.save(small_model(), root / "unknown", {})
    with pytest.raises(UserError, match=r"was not trained for it \(modes.rollout=0\)"):
        imagine(ImagineConfig("rollout", data, str(root / "plain"), str(tmp_path / "none")))
    with pytest.raises(ValueError, match="has no imagined rollouts"):
        imagine(ImagineConfig("rollout", data, str(root / "unknown"), str(tmp_path / "none")))
    assert not (tmp_path / "none").exists()


def test_a_course_goes_to_the_end_and_back(clips: Clips) -> None:
    led = recorded_actions(clips, np.array([26, 20]), 9)
    assert led.steps.tolist() == [[26, 27, 28, 29, 28, 27, 26, 25, 24], [20, 21, 22, 23, 22, 21, 20, 19, 18]]
    assert led.recorded.sum(1).tolist() == [3, 3] and led.recorded[:, :3].all()


def test_dreams_are_led_by_what_was_executed_and_compared_with_what_followed(clips: Clips) -> None:
    model, config = dreaming_model(), ImagineConfig("rollout", "x", length=4, steps=1, seed=3)
    window = np.array([4])
    found = roll_out(model, clips, window, config, 1, shows_can)
    stream, clip = ImaginedRollout(model, 1, 1), clips.gather(window, np.array([[1, 2, 3, 4]])).map(torch.as_tensor)
    stream.begin(clip.images, clip.state, seeds=[7])
    assert not np.array_equal(clip.action, clip.executed), f"{EXECUTED} differs here"
    for t in range(4):
        images, _ = stream.step(clip.executed[:, t])
        np.testing.assert_array_equal(found.frames[0, t], images[0].numpy())
        real = clip.future[0, t].numpy().astype(np.float32)
        assert found.errors[0, t] == pytest.approx(((images[0].numpy() - real) ** 2).mean(), rel=1e-5)
        assert found.errors[1, t] == pytest.approx(((clip.images[0].numpy() - real) ** 2).mean(), rel=1e-5)
    assert (clips.time[choose(clips, config)] + 1 < clips.end[choose(clips, config)]).all()


def test_what_fades_or_blurs_leaves_the_range() -> None:
    real = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16, 3), np.uint8)
    dark, flat = real[:5] // 8, np.full_like(real[:5], 127)
    smooth = (real[:5, :, ::1] // 2 + np.roll(real[:5], 1, 2) // 2).astype(np.uint8)
    numbers = image_stats(real)
    assert numbers.shape == (40, 1, 3)
    np.testing.assert_allclose(numbers[..., 0], real.astype(float).mean((2, 3, 4)), rtol=1e-5)

    def share(frames: np.ndarray) -> list[float]:
        found = within_range(image_stats(frames)[None], numbers, ("scene",))["scene"]
        assert found["contrast"]["imagined"].keys() == {"1", str(len(frames))}
        return [number["within"] for number in found.values()]

    assert share(real[:7]) == [1, 1, 1] and share(dark) == [0, 0, 0]
    both = np.stack([image_stats(dark), 2 * image_stats(real[:5]) - image_stats(dark)])  # each far off, the mean is not
    found = within_range(both, numbers, ("scene",))["scene"]["brightness"]
    assert (found["within"], found["mean_within"], found["usual_within"]) == (0, 1, 0)
    assert share(flat)[1:] == [0, 0] and share(smooth)[2] == 0


def test_one_odd_frame_widens_the_range_and_not_what_is_usual() -> None:
    real = np.random.default_rng(0).normal(100, 10, (1000, 1, 3))
    odd = np.concatenate([real, np.zeros((1, 1, 3))])
    low = np.full((1, 5, 1, 3), 50.0)
    for number in within_range(low, odd, ("scene",))["scene"].values():
        assert (number["within"], number["usual_within"]) == (1, 0)
    mixed = np.concatenate([low, low, low, real[None, :5]])
    number = within_range(mixed, odd, ("scene",))["scene"]["contrast"]
    assert (
        number["usual_within"] == 0.25
        and number["usual_within_interval"][0] < 0.25 < number["usual_within_interval"][1] <= 1
    )
    assert number["within_interval"] == [1, 1], "all dreams alike"
    inside = within_range(real[None], real, ("scene",))["scene"]
    assert all(number["within"] == 1 and number["usual_within"] == 0.99 for number in inside.values())


def test_a_dream_that_loses_the_can_is_found_out() -> None:
    bare = np.random.default_rng(0).integers(90, 110, (2, 200, 2, 32, 32, 3), np.uint8)
    held = bare.copy()
    held[:, :, 1, 4:8, 4:8] = (200, 30, 30)  # in one view alone
    assert shows_can(held).all() and not shows_can(bare).any() and shows_can(held).shape == (2, 200)
    lost = np.concatenate([held[:, :100], bare[:, 100:]], axis=1)
    found = object_persistence(shows_can(lost), shows_can(held[0]))
    assert (found["real"], found["imagined"], found["by_hundred"]) == (1, 0.5, [1, 0])
    beside = object_persistence(shows_can(lost), shows_can(held[0]), shows_can(held))
    assert beside["simulated"] == 1 and beside["simulated_by_hundred"] == [1, 1] and beside["agree"] == 0.5
    one = object_persistence(shows_can(np.concatenate([held[:1], bare[:1]])), shows_can(held[0]))
    assert one["imagined"] == 0.5 and one["imagined_interval"] == [0, 1]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real demonstration as large as the small model's frames are, with the simulator's state."""
    path = tmp_path_factory.mktemp("recorded") / "store"
    assert collect(CollectConfig(out=str(path), episodes=1, size=32, workers="1", seed=3)) == 0
    return path


def test_the_simulator_shows_what_was_recorded_and_goes_on_after_it(recorded: Path) -> None:
    clips = Clips([EpisodeStore.open(recorded)], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))
    last = len(clips.time) - 1
    led = recorded_actions(clips, np.array([last - 5, 2]), 12)
    actions = clips.stores[0].array(EXECUTED).take(led.steps)
    found = np.stack([truth.frames for truth in simulate(clips, led.begins, actions)], axis=1)
    assert found.shape == (2, 12, 2, 32, 32, 3) and led.recorded.sum(1).tolist() == [5, 12]
    for frames, begin, there in zip(found, led.begins, led.recorded.sum(1), strict=True):
        assert np.array_equal(frames[:there], real_frames(clips, begin + 1 + np.arange(there)))
    assert (found[0, 5:] != found[0, 4]).any((1, 2, 3, 4)).all(), "and on, when the recording is over"


def test_a_dream_beside_the_simulator_is_measured_to_its_end(
    ground: tuple[str, Path], recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shared = {"mode": "rollout", "checkpoint": str(ground[1] / "model"), "windows": 2, "length": 120, "show": 1}
    config = ImagineConfig(**shared, data=str(recorded), out=str(tmp_path), simulate=True, threads=1)
    assert imagine(config) == 0
    found = json.loads((tmp_path / "rollout.json").read_text())
    assert [row["rollouts"] for row in found["frames"]] == [2] * 120, "recordings alone are over by then"
    can = found["object_persistence"]
    assert can["simulated"] > 0.9 and len(can["simulated_by_hundred"]) == 2 and 0 <= can["agree"] <= 1
    assert "under the same actions in the simulator" in capsys.readouterr().out
    with av.open(str(tmp_path / "rollout_0.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert min(frame[40:140].std() for frame in frames) > 10, "a picture above to the end"


def test_what_cannot_be_simulated_is_refused(ground: tuple[str, Path], tmp_path: Path) -> None:
    data, root = ground
    config = ImagineConfig("rollout", data, str(root / "model"), str(tmp_path), 2, simulate=True, threads=1)
    with pytest.raises(UserError, match=f"simulate=true, data={data}: keeps no 'simulator_state'"):
        imagine(config)
    with pytest.raises(ValueError, match="simulate=true with mode=forward: expected mode=rollout"):
        ImagineConfig("forward", data, simulate=True)
