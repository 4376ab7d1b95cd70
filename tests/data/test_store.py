"""The store gives back what was put in, to us and to any Zarr reader, and refuses what is not whole."""

import errno
import json
import os

import numpy as np
import pytest
import zarr

from worldmodel.data import DamagedStoreError, EpisodeStore, InterruptedStoreError, StoreError, StoreWriter, layout
from worldmodel.data.views import CachedView, MappedView, ZarrView
from worldmodel.schema import ACTION, Episode, image_key

SCENE = image_key("scene")
PROVENANCE = {"recipe": {"episodes": 5}, "command": "worldmodel collect out=here"}


def episode(seed: int, task: str = "place_can") -> Episode:
    """Random but reproducible; 40 px frames are large enough to stay mapped."""
    random, steps = np.random.default_rng(seed), 7 + seed
    arrays = {
        SCENE: random.integers(0, 256, (steps, 40, 40, 3), np.uint8),
        ACTION: random.normal(size=(steps, 4)).astype(np.float32),
        "phase": random.integers(0, 5, steps).astype(np.int8),
        "simulator_state": random.normal(size=(steps, 9)),
    }
    return Episode(arrays, task, seed, seed != 2, {"note": seed})


def write(path, count: int = 5, block: int = 16) -> list[Episode]:
    episodes = [episode(seed, "lift_can" if seed % 2 else "place_can") for seed in range(count)]
    with EpisodeStore.create(path, PROVENANCE, block) as writer:
        for one in episodes:
            writer.append(one)
        writer.seal()
    return episodes


def assert_same(ours: Episode, theirs: Episode) -> None:
    assert (ours.task, ours.seed, ours.success, ours.info) == (theirs.task, theirs.seed, theirs.success, theirs.info)
    assert ours.arrays.keys() == theirs.arrays.keys()
    for key in ours.arrays:
        assert ours.arrays[key].dtype == theirs.arrays[key].dtype
        np.testing.assert_array_equal(ours.arrays[key], theirs.arrays[key])


@pytest.mark.parametrize("block", [1, 16, 45, 1024])
def test_episodes_come_back_as_they_went_in(tmp_path, block):
    episodes = write(tmp_path / "store", block=block)
    store = EpisodeStore.open(tmp_path / "store")
    assert len(store) == store.episodes == 5
    assert store.steps == sum(map(len, episodes)) == store.ends[-1]
    assert store.tasks == ("lift_can", "place_can")
    for index, one in enumerate(episodes):
        assert_same(store.episode(index), one)
    with pytest.raises(IndexError, match=r"episode 5 .* expected 0 to 4"):
        store.episode(5)
    with pytest.raises(KeyError, match="no array 'depth'"):
        store.array("depth")


def test_every_way_of_indexing_gives_the_same_rows(tmp_path):
    episodes = write(tmp_path / "store")
    store = EpisodeStore.open(tmp_path / "store")
    kinds = {SCENE: MappedView, ACTION: CachedView}
    windows = np.array([[0, 15, 16], [44, 17, 0], [-1, 31, 32]])
    for key in store.keys:
        whole = np.concatenate([one.arrays[key] for one in episodes])
        view = store.array(key)
        assert isinstance(view, kinds.get(key, CachedView))
        assert view.shape == whole.shape and len(view) == len(whole) and view.dtype == whole.dtype
        np.testing.assert_array_equal(view.take(windows), whole[windows])
        np.testing.assert_array_equal(view[[3, 40]], whole[[3, 40]])
        np.testing.assert_array_equal(view[20], whole[20])
        np.testing.assert_array_equal(np.asarray(view), whole)
        for part in (slice(3, 9), slice(10, 40), slice(None), slice(5, 5), slice(-20, None, 3), slice(16, 32)):
            np.testing.assert_array_equal(view[part], whole[part])
        with pytest.raises(IndexError):
            view.take([len(whole)])
        with pytest.raises(ValueError, match="read-only"):
            view[0:1][...] = 0


def test_any_zarr_reader_opens_it(tmp_path):
    episodes = write(tmp_path / "store")
    group = zarr.open_group(tmp_path / "store", mode="r")
    for key in episodes[0].arrays:
        array = group[key]
        assert array.metadata.zarr_format == 3 and array.chunks[0] == 16
        assert array.config.write_empty_chunks in (True, False)
        np.testing.assert_array_equal(array[:], np.concatenate([one.arrays[key] for one in episodes]))
    assert group.attrs["provenance"] == PROVENANCE
    np.testing.assert_array_equal(group["episode.ends"][:], np.cumsum([len(one) for one in episodes]))


def test_an_array_with_a_codec_is_read_through_zarr(tmp_path):
    episodes = write(tmp_path / "store")
    whole = np.concatenate([one.arrays[SCENE] for one in episodes])
    zarr.create_array(tmp_path / "store" / SCENE, data=whole, chunks=(10, 40, 40, 3), overwrite=True)
    store = EpisodeStore.open(tmp_path / "store")
    assert isinstance(store.array(SCENE), ZarrView)
    np.testing.assert_array_equal(store.array(SCENE).take([[3, 3], [40, 0]]), whole[[[3, 3], [40, 0]]])
    assert_same(store.episode(3), episodes[3])


def test_fingerprint_names_the_content_alone(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", block=3)
    write(tmp_path / "c", count=4)
    prints = [EpisodeStore.open(tmp_path / name).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_an_unsealed_store_says_so_and_resumes(tmp_path):
    path = tmp_path / "store"
    writer = EpisodeStore.create(path, PROVENANCE, 16)
    writer.append(episode(0))
    with pytest.raises(InterruptedStoreError, match=r"1 of 5 episodes.*`worldmodel collect out=here`"):
        EpisodeStore.open(path)
    with pytest.raises(StoreError, match="written by another process"):
        StoreWriter.resume(path)
    writer.drop(1)
    writer.note(environment="here")
    writer.close()
    with StoreWriter.resume(path) as writer:
        assert (len(writer.records), writer.dropped, writer.provenance["environment"]) == (1, [1], "here")
        for seed in range(2, 5):
            writer.append(episode(seed))
        writer.seal()
    store = EpisodeStore.open(path)
    assert store.seeds.tolist() == [0, 2, 3, 4] and store.meta["dropped_seeds"] == [1]
    assert_same(store.episode(1), episode(2))
    assert not (path / layout.UNSEALED).exists()


def test_resume_gives_up_a_torn_journal_line_and_data_beyond_it(tmp_path):
    path = tmp_path / "store"
    with EpisodeStore.create(path, PROVENANCE, 16) as writer:
        writer.append(episode(0))
        writer.append(episode(4))
    with open(path / layout.JOURNAL, "rb+") as journal:
        journal.truncate(journal.seek(0, os.SEEK_END) - 20)
    with StoreWriter.resume(path) as writer:
        assert [record["seed"] for record in writer.records] == [0]
        writer.append(episode(1))
        writer.seal()
    assert_same(EpisodeStore.open(path).episode(1), episode(1))


def test_resume_cuts_at_the_first_damaged_episode(tmp_path):
    path = tmp_path / "store"
    with EpisodeStore.create(path, PROVENANCE, 16) as writer:
        for seed in range(3):
            writer.append(episode(seed))
    flip(path / ACTION / "c/0/0", 16 * 9)  # step 9 lies in episode 1
    with StoreWriter.resume(path) as writer:
        assert ([record["seed"] for record in writer.records], writer.cut) == ([0], 2)
        for seed in range(1, 5):
            writer.append(episode(seed, "lift_can" if seed % 2 else "place_can"))
        writer.seal()
    write(tmp_path / "straight")
    assert EpisodeStore.open(path).fingerprint == EpisodeStore.open(tmp_path / "straight").fingerprint


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    path, real = tmp_path / "store", os.pwrite
    writer = EpisodeStore.create(path, PROVENANCE, 16)
    writer.append(episode(0))

    def full(descriptor, data, offset):
        real(descriptor, bytes(data)[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=r"disk full .* finished episodes are kept"):
        writer.append(episode(1))
    monkeypatch.setattr(os, "pwrite", real)
    writer.append(episode(2))
    writer.seal()
    store = EpisodeStore.open(path)
    assert store.episodes == 2
    assert_same(store.episode(1), episode(2))


def test_create_never_overwrites(tmp_path):
    write(tmp_path / "store")
    with pytest.raises(StoreError, match="already exists"):
        EpisodeStore.create(tmp_path / "store", PROVENANCE)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="already exists"):
        EpisodeStore.create(tmp_path / "file", PROVENANCE)
    (tmp_path / "empty").mkdir()
    EpisodeStore.create(tmp_path / "empty", PROVENANCE).close()


def test_a_sealed_store_is_final_even_with_its_journal_left_behind(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda path, ignore_errors=False: None)
        write(tmp_path / "store")
    assert (tmp_path / "store" / layout.JOURNAL).exists()
    assert EpisodeStore.open(tmp_path / "store").episodes == 5
    with pytest.raises(StoreError, match="nothing to resume"):
        StoreWriter.resume(tmp_path / "store")
    with pytest.raises(StoreError, match="already exists"):
        StoreWriter.create(tmp_path / "store", PROVENANCE)


def test_append_refuses_what_does_not_fit(tmp_path):
    with EpisodeStore.create(tmp_path / "store", PROVENANCE) as writer:
        with pytest.raises(StoreError, match="nothing to seal"):
            writer.seal()
        writer.append(episode(0))
        wrong = episode(1)
        with pytest.raises(StoreError, match=r"'action' is .*float64"):
            writer.append(Episode({**wrong.arrays, ACTION: wrong.arrays[ACTION].astype(float)}, "t", 1, True))
        with pytest.raises(StoreError, match="'depth'"):
            writer.append(Episode({**wrong.arrays, "depth": wrong.arrays["phase"]}, "t", 1, True))


def test_open_knows_lerobots_folders(tmp_path):
    (tmp_path / "theirs" / "meta").mkdir(parents=True)
    (tmp_path / "theirs" / "meta" / "info.json").write_text("{}")
    with pytest.raises(StoreError, match=r"it looks like LeRobot's: say lerobot:.*theirs"):
        EpisodeStore.open(tmp_path / "theirs")


def test_open_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="worldmodel collect"):
        EpisodeStore.open(tmp_path / "absent")
    with pytest.raises(StoreError, match="not an episode store"):
        EpisodeStore.open(tmp_path)
    path = tmp_path / "store"
    write(path)
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"]["provenance"]["command"] = "another"
    (path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(DamagedStoreError, match="seal"):
        EpisodeStore.open(path)
    (path / "zarr.json").write_bytes(b"{")
    with pytest.raises(DamagedStoreError, match="damaged"):
        EpisodeStore.open(path)


@pytest.mark.parametrize("harm", ["remove", "shorten", "metadata"])
def test_open_misses_no_file(tmp_path, harm):
    path = tmp_path / "store"
    write(path)
    block = path / SCENE / "c/1/0/0/0"
    if harm == "remove":
        block.unlink()
    elif harm == "shorten":
        os.truncate(block, block.stat().st_size - 1)
    else:
        (path / SCENE / "zarr.json").unlink()
    with pytest.raises(DamagedStoreError, match=f"array {SCENE}.*worldmodel data verify"):
        EpisodeStore.open(path)


def flip(path, offset: int) -> None:
    """Turn every bit of one byte of a file."""
    with open(path, "rb+") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 0xFF]))
