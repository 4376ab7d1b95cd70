"""`data verify` finds any flipped byte and names the episode and the array; `data info` tells what is there."""

import contextlib
import json
import shutil

import numpy as np
import pytest

from worldmodel.data import DamagedStoreError, EpisodeStore, StoreError, layout, verify
from worldmodel.data import inspect as verbs
from worldmodel.schema import ACTION, EXECUTED, Episode, image_key

SCENE = image_key("scene")
BLOCK = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("verify") / "store"
    random = np.random.default_rng(0)
    with EpisodeStore.create(path, {"recipe": {"tasks": ["[red]place_can"]}}, BLOCK) as writer:
        for seed in range(4):
            steps, action = 5 + seed, random.normal(size=(5 + seed, 4)).astype(np.float32)
            frames = random.integers(0, 256, (steps, 40, 40, 3), np.uint8)
            arrays = {SCENE: frames, ACTION: action, EXECUTED: action + (seed == 1), "phase": np.zeros(steps, np.int8)}
            writer.append(Episode(arrays, "place_can", seed, True))
        writer.seal()
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "store")


def flip(file, offset):
    content = bytearray(file.read_bytes())
    content[offset] ^= 0x01
    file.write_bytes(content)


def test_an_intact_store_has_no_damage(path):
    assert verify(path) == []
    assert verbs.verify(verbs.InspectConfig(str(path))) == 0


@pytest.mark.parametrize("key", [SCENE, ACTION, EXECUTED, "phase"])
@pytest.mark.parametrize("step", [0, 4, 5, 17, 25])
def test_a_flipped_bit_is_found_in_every_array(path, key, step, capsys):
    store = EpisodeStore.open(path)
    row_bytes = int(np.prod(store.row(key), dtype=int)) * store.dtype(key).itemsize
    block, row = divmod(step, BLOCK)
    file = layout.block_path(path / key, block, 1 + len(store.row(key)))
    flip(file, row * row_bytes + row_bytes // 2)
    episode = int(np.searchsorted(store.ends, step, side="right"))
    assert [(place.episode, place.array) for place in verify(path)] == [(episode, key)]
    assert verbs.verify(verbs.InspectConfig(str(path))) == 1
    assert f"damaged: episode {episode}, array {key}: does not match its checksum" in capsys.readouterr().out


@pytest.mark.parametrize("name", layout.INDEX_DTYPES)
def test_a_flipped_bit_is_found_in_the_episode_index(path, name):
    flip(layout.block_path(path / f"episode.{name}", 0, 2 if name == "checksums" else 1), 0)
    with pytest.raises(DamagedStoreError, match=f"episode.{name}"):
        verify(path)


@pytest.mark.parametrize("name", [".", SCENE, "phase", "episode.ends", "episode.checksums"])
def test_a_flipped_bit_is_found_in_all_metadata(path, name):
    file = path / name / "zarr.json"
    content = file.read_bytes()
    for offset in range(0, len(content), 11):
        flip(file, offset)
        with contextlib.suppress(StoreError):  # refused at once: better still
            assert verify(path), f"byte {offset} of {file}"
        file.write_bytes(content)


def test_missing_and_short_blocks_name_their_episodes(path):
    (path / ACTION / "c/1/0").unlink()
    scene = path / SCENE / "c/2/0/0/0"
    scene.write_bytes(scene.read_bytes()[:-1])
    with pytest.raises(DamagedStoreError):
        EpisodeStore.open(path)
    places = {(place.episode, place.array) for place in verify(path)}
    assert {(1, ACTION), (2, ACTION), (None, SCENE)} <= places
    assert (0, ACTION) not in places and (0, SCENE) not in places


def test_padding_is_part_of_the_check(path):
    flip(path / ACTION / "c/3/0", 16 * 7)  # 26 steps: row 7 of block 3 is padding
    assert [(place.episode, place.array) for place in verify(path)] == [(None, ACTION)]


def test_verify_refuses_an_interrupted_store(tmp_path):
    EpisodeStore.create(tmp_path / "store", {}).close()
    with pytest.raises(StoreError, match="interrupted"):
        verbs.verify(verbs.InspectConfig(str(tmp_path / "store")))


def test_info_tells_people_and_machines(path, tmp_path, capsys):
    sheet = tmp_path / "new" / "sheet.png"
    assert verbs.info(verbs.InspectConfig(str(path), sheet=str(sheet))) == 0
    text = capsys.readouterr().out
    assert "26 (0.00 h at 20 Hz)" in text and "[red]place_can" in text
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert verbs.info(verbs.InspectConfig(str(path), json=True)) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["episodes"] == record["successes"] == 4 and record["steps"] == 26
    assert record["length"] == {"least": 5, "median": 6.5, "most": 8}
    assert record["arrays"][SCENE] == {"shape": [26, 40, 40, 3], "dtype": "uint8"}
    assert record["perturbed"] == pytest.approx(6 / 26)
    actions = EpisodeStore.open(path).array(ACTION)[:]
    np.testing.assert_allclose(record["actions"]["high"], actions.max(axis=0), atol=1e-5)
