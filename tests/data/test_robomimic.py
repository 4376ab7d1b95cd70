"""robomimic's HDF5 to a store and back, number by number, and our own stores to HDF5 and back."""

import json

import numpy as np
import pytest
from rotations import xyzw_from_matrix

from worldmodel.data import EpisodeStore, StoreError, verify
from worldmodel.data.card import origin, write_declared
from worldmodel.data.formats.conventions import (
    matrix_from_axis_angle,
    matrix_from_six,
    matrix_from_xyzw,
)
from worldmodel.data.formats.convert import ConvertConfig, convert, kind_of
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key

h5py = pytest.importorskip("h5py")

ENV = {
    "env_name": "PickPlaceCan",
    "env_version": "1.5.1",
    "type": 1,
    "env_kwargs": {
        "control_freq": 20,
        "robots": ["Panda"],
        "controller_configs": {
            "type": "BASIC",
            "body_parts": {"right": {"type": "OSC_POSE", "input_ref_frame": "base", "input_type": "delta"}},
        },
    },
}
BASE = (0.0, 0.0, np.pi / 2)
ROBOT = '<body name="robot0_base" quat="0.7071067811865476 0 0 0.7071067811865476"/>'
MODEL = f"<mujoco><worldbody>{ROBOT}</worldbody></mujoco>"


def foreign_file(path, demos=12, text=MODEL, env=ENV):
    """A file as robomimic's scripts write it, with odd corners: order, filter keys, further arrays and attributes."""
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"], data.attrs["total"] = json.dumps(env, indent=4), 99
        for i in range(demos):
            steps = 5 + i % 3
            group = data.create_group(f"demo_{i}")
            group.attrs["model_file"] = text if i % 4 else text + "<!-- another -->"
            group.attrs["num_samples"] = steps
            group.attrs["weights"] = np.array([0.1, i], np.float32)
            group["actions"] = random.uniform(-1, 1, (steps, 7))
            group["rewards"] = np.eye(steps)[-1] * (i != 2)
            group["dones"] = np.eye(steps, dtype=np.int64)[-1]
            group["states"] = random.normal(size=(steps, 71))
            group["datagen/eef"] = random.normal(size=(steps, 4, 4))
            for part in ("obs", "next_obs"):
                group[f"{part}/robot0_eef_pos"] = random.normal(size=(steps, 3))
                turns = matrix_from_axis_angle(random.normal(size=(steps, 3)))
                group[f"{part}/robot0_eef_quat"] = xyzw_from_matrix(turns)
                group[f"{part}/robot0_gripper_qpos"] = random.normal(size=(steps, 2))
                group[f"{part}/touch"] = random.random(steps) > 0.5
                group[f"{part}/agentview_image"] = random.integers(0, 256, (steps, 20, 24, 3), np.uint8)
                group[f"{part}/agentview_depth"] = random.random((steps, 20, 24, 1)).astype(np.float32)
        for key, names in {"train": ["demo_10", "demo_2"], "valid": ["demo_0"]}.items():
            file[f"mask/{key}"] = np.array(names, dtype="S")
    return path


def content(path):
    """Everything in a file: arrays and attributes by path."""
    found = {}

    def note(name, item):
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = np.asarray(value)
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def assert_same_files(one, other):
    one, other = content(one), content(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype and np.array_equal(value, other[name]), name


def go(source, out, **options):
    assert convert(ConvertConfig(str(source), str(out), **options)) == 0
    return out


def test_a_foreign_file_comes_back_number_by_number(tmp_path):
    file = foreign_file(tmp_path / "can.hdf5")
    store = go(file, tmp_path / "store")
    assert verify(store) == []
    assert_same_files(file, go(store, tmp_path / "again.hdf5", to="robomimic"))
    assert_same_files(file, go(store, tmp_path / "small.hdf5", to="robomimic", compress=True))
    again = go(tmp_path / "again.hdf5", tmp_path / "store2")
    assert EpisodeStore.open(store).fingerprint == EpisodeStore.open(again).fingerprint


def test_what_training_finds(tmp_path):
    file = foreign_file(tmp_path / "can.hdf5")
    store = EpisodeStore.open(go(file, tmp_path / "store"))
    with h5py.File(file) as source:
        demo = source["data/demo_2"]  # third by number, though not by the alphabet
        episode = store.episode(2)
        assert (episode.task, episode.seed, episode.success) == ("PickPlaceCan", 2, False)
        assert np.array_equal(episode.arrays[image_key("agentview")], demo["obs/agentview_image"][()])
        assert np.array_equal(episode.arrays[ACTION], demo["actions"][()].astype(np.float32))
        assert np.array_equal(episode.arrays[EXECUTED], episode.arrays[ACTION])
        parts = [demo[f"obs/robot0_{name}"][()] for name in ("eef_pos", "eef_quat", "gripper_qpos")]
        assert np.array_equal(episode.arrays[STATE], np.concatenate(parts, 1).astype(np.float32))
        assert np.array_equal(episode.arrays["robomimic.states"], demo["states"][()])
    assert store.success.tolist() == [i != 2 for i in range(12)]
    infos = store.meta["info"]
    assert sum(isinstance(info["attrs"]["model_file"], str) for info in infos) == 2  # each scene once


def test_absolute_targets(tmp_path):
    file = foreign_file(tmp_path / "can.hdf5", 1, MODEL + " ")
    store = EpisodeStore.open(go(file, tmp_path / "store", actions="absolute"))
    with h5py.File(file) as source:
        demo = source["data/demo_0"]
        actions, position = demo["actions"][()], demo["obs/robot0_eef_pos"][()]
        turns = demo["obs/robot0_eef_quat"][()]
    target = store.episode(0).arrays[ACTION]
    base = matrix_from_axis_angle(np.array(BASE))
    np.testing.assert_allclose(target[:, :3], position + 0.05 * actions[:, :3] @ base.T, atol=1e-6)
    site = matrix_from_xyzw(turns) @ matrix_from_axis_angle(np.array([0, 0, -np.pi / 2]))
    turn = base @ matrix_from_axis_angle(0.5 * actions[:, 3:6]) @ base.T
    np.testing.assert_allclose(matrix_from_six(target[:, 3:9]), turn @ site, atol=1e-6)
    np.testing.assert_allclose(target[:, 9], actions[:, 6], atol=1e-7)
    assert_same_files(file, go(store.path, tmp_path / "again.hdf5", to="robomimic"))


@pytest.mark.parametrize(
    ("options", "relative"),
    [({}, 0), ({"actions": "absolute"}, 3), ({"actions": "absolute", "state": "robot0_gripper_qpos"}, 0)],
)
def test_deltas_are_targets_of_nothing_and_absolute_targets_of_the_hand(tmp_path, options, relative):
    file = foreign_file(tmp_path / "can.hdf5", 2)
    store = EpisodeStore.open(go(file, tmp_path / "store", **options))
    assert store.relative == relative
    assert_same_files(file, go(store.path, tmp_path / "again.hdf5", to="robomimic"))


@pytest.mark.parametrize(("actions", "frame", "relative"), [
    ("recorded", "world", 3), ("absolute", "world", 3), ("absolute", "base", 0),
])  # fmt: skip
def test_of_recorded_absolute_actions_the_numbers_tell(tmp_path, actions, frame, relative):
    arm = {"type": "OSC_POSE", "input_ref_frame": frame, "input_type": "absolute"}
    kwargs = ENV["env_kwargs"] | {"controller_configs": {"type": "BASIC", "body_parts": {"right": arm}}}
    file = foreign_file(tmp_path / "can.hdf5", env=ENV | {"env_kwargs": kwargs})
    turn = matrix_from_axis_angle(np.array(BASE)) if frame == "base" else np.eye(3)
    with h5py.File(file, "r+") as made:
        for demo in made["data"].values():
            values = demo["actions"][()]
            values[:, :3] = demo["obs/robot0_eef_pos"][()] @ turn + 0.05 * values[:, :3]
            demo["actions"][...] = values
    store = EpisodeStore.open(go(file, tmp_path / "store", actions=actions))
    assert store.relative == relative


def test_the_file_says_the_control_rate(tmp_path):
    for rate, expected in ((50, 50.0), (None, 20.0), ("fast", 20.0)):
        kwargs = {key: value for key, value in ENV["env_kwargs"].items() if key != "control_freq"}
        kwargs |= {"control_freq": rate} if rate else {}
        file = foreign_file(tmp_path / f"{rate}.hdf5", 1, env=ENV | {"env_kwargs": kwargs})
        store = EpisodeStore.open(go(file, tmp_path / f"{rate}"))
        assert store.rate == expected
        assert_same_files(file, go(store.path, tmp_path / f"{rate} again.hdf5", to="robomimic"))


def test_our_own_store_comes_back(tmp_path):
    random, path = np.random.default_rng(0), tmp_path / "store"
    made = {"recipe": {"tasks": ["lift_can"]}, "licence": "Apache-2.0", "rate": 10, "relative": 2}
    with EpisodeStore.create(path, made) as writer:
        for seed in (3, 5):
            action = random.normal(size=(6, 4)).astype(np.float32)
            frames = random.integers(0, 256, (6, 16, 16, 3), np.uint8)
            state = random.normal(size=(6, 4)).astype(np.float32)
            arrays = {ACTION: action, EXECUTED: action + 1, STATE: state, image_key("wrist"): frames}
            writer.append(Episode(arrays, "lift_can", seed, seed == 5, {"pushes": seed}))
        writer.seal()
    file = go(path, tmp_path / "out.hdf5", to="robomimic")
    with h5py.File(file) as made:
        demo = made["data/demo_1"]
        assert demo["obs/wrist_image"].shape == (6, 16, 16, 3) and demo["rewards"][()].tolist() == [0, 0, 0, 0, 0, 1]
        assert demo["dones"][()].tolist() == [0, 0, 0, 0, 0, 1] and not made["data/demo_0/rewards"][()].any()
        assert demo.attrs["num_samples"] == 6 and json.loads(made["data"].attrs["env_args"])["env_name"] == "lift_can"
        assert made["mask/successful"][()].tolist() == [b"demo_1"]
    again, before = EpisodeStore.open(go(file, tmp_path / "store2")), EpisodeStore.open(path)
    assert again.fingerprint == before.fingerprint and again.meta["info"] == before.meta["info"]
    assert again.meta["provenance"]["licence"] == "Apache-2.0"
    assert (again.rate, again.relative) == (10, 2)


@pytest.mark.parametrize("foreign", [True, False])
def test_what_people_said_of_a_store_comes_back(tmp_path, foreign):
    path = tmp_path / "store"
    if foreign:
        go(foreign_file(tmp_path / "can.hdf5", 2), path)
    else:
        with EpisodeStore.create(path, {"licence": "unknown"}) as writer:
            writer.append(Episode({ACTION: np.zeros((4, 2), np.float32)}, "push", 1, True))
            writer.seal()
    before = EpisodeStore.open(path)
    write_declared({"licence": "CC-BY-4.0", "consent": "signed"}, path, before.fingerprint)
    file = go(path, tmp_path / "out.hdf5", to="robomimic")
    store = EpisodeStore.open(go(file, tmp_path / "store2"))
    card = origin(store)["card"]
    assert [card[name] for name in ("licence", "consent")] == [
        {"value": "CC-BY-4.0", "by": "person"}, {"value": "signed", "by": "person"},
    ]  # fmt: skip
    assert store.fingerprint == before.fingerprint and verify(store.path) == []
    assert store.meta["provenance"].get("robomimic") == before.meta["provenance"].get("robomimic")
    (store.path / "card.json").unlink()  # as if it had stopped right after the seal
    go(file, store.path)
    assert origin(store)["card"]["consent"]["value"] == "signed"
    (path / "card.json").unlink()
    if foreign:
        assert_same_files(tmp_path / "can.hdf5", go(path, tmp_path / "plain.hdf5", to="robomimic"))


def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch):
    file = foreign_file(tmp_path / "can.hdf5", 5)
    whole = EpisodeStore.open(go(file, tmp_path / "whole"))
    from worldmodel.data.formats import robomimic

    plain = robomimic.Reader.episode

    def stops(self, demo, number):
        if number == 3:
            raise KeyboardInterrupt
        return plain(self, demo, number)

    monkeypatch.setattr(robomimic.Reader, "episode", stops)
    with pytest.raises(KeyboardInterrupt):
        go(file, tmp_path / "store")
    monkeypatch.setattr(robomimic.Reader, "episode", plain)
    store = EpisodeStore.open(go(file, tmp_path / "store"))
    assert store.fingerprint == whole.fingerprint and store.meta["info"] == whole.meta["info"]
    go(file, tmp_path / "store")  # complete: left alone
    with pytest.raises(StoreError, match="another store"):
        go(file, tmp_path / "store", actions="absolute")


def test_one_line_errors(tmp_path):
    torn = tmp_path / "torn.hdf5"
    torn.write_bytes(foreign_file(tmp_path / "can.hdf5", 1).read_bytes()[:3000])
    with pytest.raises(ValueError, match="not a whole HDF5 file"):
        go(torn, tmp_path / "store")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = [1]
    with pytest.raises(ValueError, match="no data/demo_0"):
        go(tmp_path / "other.hdf5", tmp_path / "store")
    with pytest.raises(FileNotFoundError, match="no file"):
        kind_of("nowhere.hdf5")
    store = go(tmp_path / "can.hdf5", tmp_path / "store")
    with pytest.raises(ValueError, match=r"ending in .hdf5"):
        go(store, tmp_path / "back", to="robomimic")
    with pytest.raises(FileExistsError):
        go(store, tmp_path / "can.hdf5", to="robomimic")
    assert not list(tmp_path.glob("*.tmp"))


def trimmed(path, **obs):
    """A small file: actions of 20 and 14 rows, observations by name for each demonstration."""
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {}})
        for i, steps in enumerate((20, 14)):
            group = file["data"].create_group(f"demo_{i}")
            group["actions"], group.attrs["num_samples"] = np.zeros((steps, 7)), 20
            group["obs/robot0_eef_pos"] = np.zeros((steps, 3))
            for name, make in obs.items():
                if (values := make(i, steps)) is not None:
                    group[f"obs/{name}"] = values
    return path


def test_a_trimmed_demonstration_is_as_long_as_its_actions(tmp_path):
    file = trimmed(tmp_path / "a.hdf5")
    store = EpisodeStore.open(go(file, tmp_path / "store"))
    assert np.diff(store.ends, prepend=0).tolist() == [20, 14]
    assert_same_files(file, go(store.path, tmp_path / "b.hdf5", to="robomimic"))


def test_an_observation_that_only_later_demonstrations_have_is_named(tmp_path, capsys):
    file = trimmed(tmp_path / "a.hdf5", object=lambda i, steps: np.zeros((steps, 2)) if i else None)
    store = EpisodeStore.open(go(file, tmp_path / "store"))
    assert "left out (demo_0 has no such, and all must have the same): obs/object" in capsys.readouterr().out
    assert store.meta["provenance"]["not_in_first"] == ["obs/object"]


def test_pictures_of_floats_or_channels_first_are_cameras_too(tmp_path):
    random = np.random.default_rng(0)
    bytes_ = random.integers(0, 256, (20, 16, 24, 3), np.uint8)
    bytes_[0, 0, 0, 0] = 255
    file = trimmed(
        tmp_path / "a.hdf5",
        agentview_image=lambda i, steps: (bytes_[:steps] / 255).astype(np.float32),
        wrist_image=lambda i, steps: np.moveaxis(bytes_[:steps], -1, 1),
        pose=lambda i, steps: random.normal(size=(steps, 3, 3)),
    )
    store = EpisodeStore.open(go(file, tmp_path / "store"))
    for camera in ("agentview", "wrist"):
        np.testing.assert_array_equal(store.array(image_key(camera))[:20], bytes_)
    assert_same_files(file, go(store.path, tmp_path / "b.hdf5", to="robomimic"))
