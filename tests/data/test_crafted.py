"""Data from strangers: nothing is written outside of ``out``, no other file is read, and errors are one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_store

from worldmodel.cli import main
from worldmodel.data import EpisodeStore, StoreError, StoreWriter, layout
from worldmodel.data.card import write_card
from worldmodel.data.formats.lerobot_checks import check_folder
from worldmodel.data.verification import verify
from worldmodel.files import JsonLines, locked
from worldmodel.policies import lerobot_folder
from worldmodel.schema import Episode, is_name
from worldmodel.train import TrainConfig, train

BAD_NAMES = ["..", ".", "", ".hidden", "a/b", "/abs", "a/../b", "..\\x", "a\0b", "a\nb", "x" * 300, 5, None]


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says that is refused: one line, without a traceback."""
    assert main(list(words)) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("worldmodel: ")
    return said


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name)[:12])
def test_one_rule_for_names(name: Any) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["action", "observation.images.wrist", "next.done", "Größe 2", "robomimic.obs.x:y"])
def test_names_that_data_have_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("key", ["..", "../victim", "zarr.json", "lerobot", "unsealed", "card.json", "episode.x"])
def test_a_store_of_such_a_name_is_neither_written_nor_opened_nor_resumed(tmp_path: Path, key: str) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "zarr.json").write_text("VICTIM")
    arrays = {key: np.zeros((4, 2), np.float32)}
    with StoreWriter.create(tmp_path / "written", {}) as writer, pytest.raises(StoreError, match="no name of a file"):
        writer.append(Episode(arrays, "t", 0, True))

    store = small_store(tmp_path / "opened", (8, 8))
    group = json.loads((store.path / "zarr.json").read_text())
    group["attributes"]["arrays"][key] = {"row": [2], "dtype": "float32"}
    group["attributes"]["seal"] = layout.seal_of(group["attributes"])
    (store.path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(StoreError, match="no name of a file"):
        EpisodeStore.open(store.path)

    StoreWriter.create(tmp_path / "resumed", {}).close()
    journal = JsonLines(tmp_path / "resumed" / layout.JOURNAL, sums=True)
    journal.add({"spec": {key: {"row": [2], "dtype": "float32"}}})
    journal.close()
    with pytest.raises(StoreError):
        StoreWriter.resume(tmp_path / "resumed")
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["zarr.json"]
    assert (tmp_path / "victim" / "zarr.json").read_text() == "VICTIM"


def test_attributes_that_no_store_has_are_told_in_one_line(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    whole = json.loads((store.path / "zarr.json").read_text())
    wrong: list[dict[str, Any]] = [
        {"episodes": -1}, {"steps": 10**18}, {"block": 0}, {"arrays": []}, {"info": [5]}, {"index": 3}, {"tasks": None},
        {"provenance": [1]}, {"arrays": {"a": {"row": [-1], "dtype": "float32"}}},
        {"arrays": {"a": {"row": [2], "dtype": "object"}}},
    ]  # fmt: skip
    for change in wrong:
        attributes = whole["attributes"] | change
        attributes["seal"] = layout.seal_of(attributes)
        (store.path / "zarr.json").write_text(json.dumps(whole | {"attributes": attributes}))
        with pytest.raises(StoreError) as caught:
            EpisodeStore.open(store.path)
        assert "\n" not in str(caught.value), change


def test_a_flip_in_a_journal_is_found(tmp_path: Path) -> None:
    """Nothing but what was recorded is ever sealed: later episodes are given up, and counted."""
    episodes = [Episode({"a": np.full((3, 2), seed, np.float32)}, "t", seed, True) for seed in range(3)]
    with StoreWriter.create(tmp_path / "whole", {"recipe": {"n": 3}}) as writer:
        for episode in episodes:
            writer.append(episode)
    journal = (tmp_path / "whole" / layout.JOURNAL).read_bytes()
    assert b'"sum"' in journal
    for place in range(0, len(journal), 3):
        shutil.rmtree(tmp_path / "flipped", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "flipped")
        damaged = bytearray(journal)
        damaged[place] ^= 1 << place % 7
        (tmp_path / "flipped" / layout.JOURNAL).write_bytes(damaged)
        try:
            writer = StoreWriter.resume(tmp_path / "flipped")
        except StoreError as error:
            assert "\n" not in str(error)
            continue
        with writer:
            assert [record["seed"] for record in writer.records] == list(range(len(writer.records)))
            for record in writer.records:
                assert (record["task"], record["success"], record["length"]) == ("t", True, 3)


def test_journals_of_an_older_version_have_no_checksums(tmp_path: Path) -> None:
    writer = StoreWriter.create(tmp_path / "old", {"recipe": {}})
    writer.append(Episode({"a": np.ones((3, 2), np.float32)}, "t", 0, True))
    writer.close()
    journal = tmp_path / "old" / layout.JOURNAL
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "sum"}) + "\n" for line in lines))
    with StoreWriter.resume(tmp_path / "old") as again:
        assert len(again.records) == 1
        again.seal()
    assert EpisodeStore.open(tmp_path / "old").episodes == 1


def test_of_two_conversions_to_one_place_the_second_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_store(tmp_path / "store")
    words = ["data", "convert", str(tmp_path / "store"), "to=robomimic", f"out={tmp_path / 'x.hdf5'}"]
    with locked(tmp_path / "x.hdf5"):
        assert "written by another process" in complaint(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def robomimic(path: Path, **attributes: Any) -> Any:
    """A small file, open for writing: the file and its demonstration's group."""
    h5py = pytest.importorskip("h5py")
    file = h5py.File(path, "w")
    group = file.create_group("data/demo_0")
    file["data"].attrs["env_args"] = json.dumps({"env_name": "Can", "env_kwargs": {}})
    for name, value in attributes.items():
        file["data"].attrs[name] = value
    group.attrs["num_samples"] = 6
    for name, size in {"actions": 7, "obs/robot0_eef_pos": 3}.items():
        group[name] = np.zeros((6, size))
    return file, group


def test_a_robomimic_file_writes_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zarr.json").write_text("VICTIM")
    file, group = robomimic(tmp_path / "a.hdf5", worldmodel=json.dumps({"keys": {"actions": ".."}, "provenance": {}}))
    group.attrs["worldmodel"] = json.dumps({"task": "t", "seed": 0, "success": True, "info": {}})
    file.close()
    said = complaint(capsys, "data", "convert", str(tmp_path / "a.hdf5"), f"out={tmp_path / 'out'}")
    assert "'..'" in said and (tmp_path / "zarr.json").read_text() == "VICTIM"
    assert not list((tmp_path).glob("c/*"))


def test_a_robomimic_file_reads_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(b"TOP-SECRET")
    file, group = robomimic(tmp_path / "a.hdf5")
    group.create_dataset("obs/leak", shape=(6, 1), dtype="u1", external=[(str(tmp_path / "secret"), 0, 6)])
    file.close()
    assert "in other files" in complaint(capsys, "data", "convert", str(tmp_path / "a.hdf5"), f"out={tmp_path / 'o'}")
    file, group = robomimic(tmp_path / "b.hdf5")
    file["data/demo_1"] = h5py.ExternalLink(str(tmp_path / "a.hdf5"), "/data/demo_0")
    file.close()
    assert "is a link" in complaint(capsys, "data", "convert", str(tmp_path / "b.hdf5"), f"out={tmp_path / 'p'}")
    file, group = robomimic(tmp_path / "c.hdf5")
    group.create_dataset("obs/big", shape=(6, 10**6, 10**5), dtype="u1", chunks=(1, 1000, 1000))
    file.close()
    assert "larger than" in complaint(capsys, "data", "convert", str(tmp_path / "c.hdf5"), f"out={tmp_path / 'q'}")
    for out in "opq":
        assert not list((tmp_path / out).rglob("*leak*"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"env_args": "not json"}, {"env_args": "[1,2]"}, {"env_args": '{"env_kwargs":5}'}, {"worldmodel": "[]"},
        {"worldmodel": "nope"}, {"worldmodel": '{"keys":5}'}, {"worldmodel_card": "[1]"}, {"worldmodel_card": "zzz"},
    ],
)  # fmt: skip
def test_bad_attributes_are_one_line(tmp_path: Path, capsys: Any, attributes: dict[str, str]) -> None:
    file, _ = robomimic(tmp_path / "a.hdf5", **attributes)
    file.close()
    complaint(capsys, "data", "convert", str(tmp_path / "a.hdf5"), f"out={tmp_path / 'out'}")


def description(folder: Path, **changes: Any) -> Path:
    """A folder with LeRobot's description of a data set."""
    info = {"codebase_version": "v3.0", "fps": 10, "total_episodes": 1, "total_frames": 5, "features": {}}
    info |= {"data_path": "data/chunk-{chunk_index:03d}/file.parquet", "video_path": None}
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": {"..": {"dtype": "float32", "shape": [1]}}}, "no name for a column"),
        ({"features": {"a": {"dtype": "float32", "shape": [-1]}}}, "has shape"),
        ({"data_path": "../../elsewhere/{chunk_index}"}, "lies outside"),
        ({"video_path": "/etc/{video_key}"}, "lies outside"),
        ({"fps": 0}, "fps=0"),
        ({"total_frames": 10**15}, "total_frames"),
        ({"features": 5}, "damaged"),
    ],
)
def test_a_description_of_a_data_set_leads_nowhere_else(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    check_folder(description(tmp_path / "good"))
    with pytest.raises(StoreError, match=said) as caught:
        check_folder(description(tmp_path / "bad", **changes))
    assert "\n" not in str(caught.value)


def test_links_out_of_a_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("TOP-SECRET")
    folder = description(tmp_path / "theirs")
    (folder / "meta" / "inside").symlink_to("info.json")
    check_folder(folder)
    (folder / "meta" / "note.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="link to elsewhere"):
        check_folder(folder)


STEP = {"registry_name": "to_batch_processor", "config": {}}


@pytest.mark.parametrize(
    ("config", "steps", "said"),
    [
        ({}, [{"class": "subprocess.Popen", "config": {"args": ["true"]}}], "subprocess.Popen"),
        ({}, [STEP | {"class": "os.system"}], "os.system"),
        ({}, [{"registry_name": "action_tokenizer_processor"}], "action_tokenizer"),
        ({}, [STEP | {"config": {"trust_remote_code": True}}], "trust_remote_code"),
        ({"trust_remote_code": "yes"}, [], "trust_remote_code"),
        ({"type": "groot"}, [], "groot"),
        ({"type": "wall_x"}, [], "wall_x"),
        ({}, [STEP | {"state_file": "../../x.safetensors"}], "state_file"),
        ({}, 5, "damaged"),
    ],
)
def test_a_policy_folder_that_would_run_code_is_refused(
    tmp_path: Path, capsys: Any, config: dict[str, Any], steps: Any, said: str
) -> None:
    """Before LeRobot is even imported."""
    (tmp_path / "config.json").write_text(json.dumps({"type": "act"} | config))
    (tmp_path / "policy_preprocessor.json").write_text(json.dumps({"name": "p", "steps": [STEP]}))
    assert lerobot_folder.check_folder(tmp_path) == "act" if not config else True
    (tmp_path / "policy_preprocessor.json").write_text(json.dumps({"name": "p", "steps": steps}))
    words = [f"checkpoint=lerobot:{tmp_path}", "task=lift_can", "episodes=1", f"out={tmp_path / 'out'}"]
    assert said in complaint(capsys, "evaluate", *words)
    assert not (tmp_path / "out").exists()


def flip(file: Path, place: int = -20) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_cards_and_strays_are_verified_too(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    (store.path / "README.md").write_text("# mine\n")
    write_card(store.path, {"fingerprint": store.fingerprint, "declared": {"licence": "MIT"}})
    assert verify(store.path) == []
    whole = tmp_path / "whole"
    shutil.copytree(store.path, whole)

    def named(change: Any) -> str:
        shutil.rmtree(store.path)
        shutil.copytree(whole, store.path)
        change(store.path)
        return "; ".join(map(str, verify(store.path)))

    assert "README.md: is not what" in named(lambda path: flip(path / "README.md", 2))
    assert "README.md: is not what" in named(lambda path: (path / "README.md").unlink())
    assert "card.json" in named(lambda path: flip(path / "card.json"))
    assert "card.json" in named(lambda path: (path / "card.json").unlink())
    assert "evil: was not there when the store was sealed" in named(lambda path: (path / "evil").mkdir())
    assert "c/9 was not there when" in named(lambda path: (path / "action" / "c" / "9").write_text("x"))


def test_a_flipped_number_is_never_trained_on(tmp_path: Path) -> None:
    """`train` reads every checksum, though opening a store looks at names and sizes alone."""
    store = small_store(tmp_path / "store")
    flip(store.path / "action" / "c" / "0" / "0", 40)
    EpisodeStore.open(store.path)
    config = TrainConfig(data=str(store.path), out=str(tmp_path / "run"), compile=False)
    with pytest.raises(StoreError, match="episode 0, array action: does not match its checksum"):
        train(config)
    assert not (tmp_path / "run").exists()
