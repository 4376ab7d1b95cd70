"""Cards keep what people say beside the sealed content; lineage tells where weights come from and what is missing."""

import json

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import zeros

from worldmodel.assets import revision
from worldmodel.collect.config import BEHAVIOURS
from worldmodel.data import EpisodeStore, StoreError, verify
from worldmodel.data.card import ACTORS, answers, declared, origin, read_card
from worldmodel.model_card import CheckpointError
from worldmodel.quality.card import CardConfig, card
from worldmodel.quality.lineage import LineageConfig, lineage, trace
from worldmodel.schema import ACTION, STATE, Episode, image_key

SIMULATED = {
    "recipe": {"tasks": ["push"], "seed": 0, "noise": 1.0},
    "command": "worldmodel collect task=push",
    "licence": "Apache-2.0",
    "version": "0.1.0",
    "code": {"version": "0.1.0", "commit": "a" * 40, "modified": False},
    "environment": {"push": {"mujoco": "3.17.0", "gl": "egl", "scene_sha256": "5" * 64}},
}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def store_of(tmp_path):
    def write(provenance, name="store"):
        random = np.random.default_rng(0)
        with EpisodeStore.create(tmp_path / name, provenance, 16) as writer:
            for seed in range(3):
                arrays = {image_key("scene"): random.integers(0, 255, (30, 8, 8, 3), np.uint8)}
                arrays |= {key: random.normal(size=(30, 3)).astype(np.float32) for key in (STATE, ACTION)}
                writer.append(Episode(arrays, "push", seed, True))
            writer.seal()
        return EpisodeStore.open(tmp_path / name)

    return write


def test_a_card_leaves_the_sealed_content_alone(store_of, capsys):
    store = store_of({})
    sealed = (store.path / "zarr.json").read_bytes()
    assert card(CardConfig(str(store.path))) == 0
    said = capsys.readouterr().out
    assert "licence: unknown: under which licence may it be used" in said and "Add consent=..." in said
    assert card(CardConfig(str(store.path), licence="CC-BY-4.0", consent="yes, signed by both operators")) == 0
    assert card(CardConfig(str(store.path), source="our arm in the cellar", limits="one | light", health=False)) == 0
    assert "licence: CC-BY-4.0 (by person)" in capsys.readouterr().out, "what was said before is kept"
    assert (store.path / "zarr.json").read_bytes() == sealed
    assert verify(store.path) == [] and EpisodeStore.open(store.path).fingerprint == store.fingerprint
    record = json.loads((store.path / "card.json").read_text())
    assert record["declared"]["consent"] == "yes, signed by both operators"
    assert record["counts"]["episodes"] == 3 and record["cameras"] == ["scene"]
    assert record["health"]["verdict"] == "ok" and len(record["health"]["checks"]) == 10
    text = (store.path / "README.md").read_text()
    for words in ("| consent | yes, signed by both operators (by person) |", "one \\| light", "| cameras | scene |"):
        assert words in text
    assert "repeated episodes: ok" in text


def test_a_card_of_simulated_data_knows_its_answers(store_of, capsys):
    store = store_of(SIMULATED)
    card(CardConfig(str(store.path), health=False, json=True))
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert answers["licence"] == {"value": "Apache-2.0", "by": "provenance"}
    assert answers["consent"]["value"].startswith("not needed: simulated")
    assert "scripted expert: push" in answers["source"]["value"]
    assert "Not checked yet" in (store.path / "README.md").read_text()


@pytest.mark.parametrize(("recipe", "words"), [
    ({}, "scripted expert: push"), ({"behaviour": "noisy"}, "scripted expert, perturbed, failures kept: push"),
    ({"behaviour": "play"}, "scripted play and failures: push"), ({"behaviour": "random"}, "random actions: push"),
    ({"behaviour": "mixed"}, "scripted play, scripted expert and random actions, failures kept: push"),
    ({"expert": "random"}, "random actions: push"), ({"expert": "runs/a"}, "learned policy runs/a: push"),
])  # fmt: skip
def test_the_source_says_who_acted(recipe, words):
    provenance = SIMULATED | {"recipe": SIMULATED["recipe"] | recipe}
    assert answers({}, provenance)["source"]["value"] == f"simulation, {words} (worldmodel collect)"


def test_what_an_older_version_kept_is_read_again(store_of, checkpoint_of, capsys):
    made = made_from(store_of(SIMULATED | {"recipe": SIMULATED["recipe"] | {"behaviour": "random"}}))
    made["data"][0]["card"] |= {
        "source": {"value": "simulation, scripted expert: push (worldmodel collect)", "said": "provenance"},
        "consent": {"value": "signed", "said": "person"},
    }
    folder = str(checkpoint_of(made))
    kept = trace(folder)["data"][0]["card"]
    assert kept["source"]["value"].startswith("simulation, random actions: push")
    assert kept["consent"] == {"value": "signed", "by": "person"}
    lineage(LineageConfig(folder))
    line = "source: simulation, random actions: push (worldmodel collect) (by provenance)"
    assert line in capsys.readouterr().out, "no line is broken in a pipe"


def test_every_behaviour_has_its_words():
    assert set(ACTORS) == set(BEHAVIOURS)


def test_unknown_is_no_answer(store_of, checkpoint_of, capsys):
    store = store_of(SIMULATED | {"licence": "unknown"})
    assert answers(declared(store), {"licence": "unknown"})["licence"] == {
        "value": None,
        "by": "unspecified",
    }
    line = "data 1: its licence is unspecified; `worldmodel data card STORE licence=...` sets it for the next training"
    made = made_from(store)
    assert line in trace(str(checkpoint_of(made)))["missing"]
    made["data"][0]["card"]["licence"] = {"value": "unknown", "said": "provenance"}  # as an older version kept it
    record = trace(str(checkpoint_of(made)))
    assert line in record["missing"] and record["data"][0]["card"]["licence"] == {"value": None, "by": "unspecified"}
    card(CardConfig(str(store.path), health=False))
    assert "licence: unknown: under which licence" in capsys.readouterr().out
    card(CardConfig(str(store.path), licence="CC-BY-4.0", health=False))
    assert answers(declared(store), {"licence": "unknown"})["licence"]["value"] == "CC-BY-4.0"


@pytest.mark.parametrize(("facts", "words"), [
    ({"made_by": "gym-pusht 0.1.8", "mujoco": "none", "gl": "none"}, "gym-pusht 0.1.8, scene 555555555555"),
    ({"made_by": "metaworld 3.0.0", "mujoco": "3.3.0", "gl": "egl"},
     "metaworld 3.0.0, MuJoCo 3.3.0, scene 555555555555, egl"),
    ({"robosuite": "1.5.1", "mujoco": "3.3.0", "gl": "egl"},
     "robosuite 1.5.1, MuJoCo 3.3.0, scene 555555555555, egl"),
    ({}, "simulator unknown, scene 555555555555, unknown"),
])  # fmt: skip
def test_the_tree_names_other_peoples_simulators(store_of, checkpoint_of, capsys, facts, words):
    store = store_of(SIMULATED | {"environment": {"gym:x": facts | {"scene_sha256": "5" * 64}}})
    assert lineage(LineageConfig(str(checkpoint_of(made_from(store))))) == 0
    said = capsys.readouterr().out
    assert f"gym:x: {words}\n" in said
    assert "MuJoCo none" not in said


def test_a_card_speaks_of_one_content_only(store_of):
    store = store_of({})
    card(CardConfig(str(store.path), licence="MIT", health=False))
    assert answers(declared(store), {})["licence"] == {"value": "MIT", "by": "person"}
    assert read_card(store.path, "another") == {} and answers({}, {})["licence"] == {"value": None, "by": "unspecified"}
    (store.path / "card.json").write_text("{")
    with pytest.raises(StoreError, match=r"card.json is damaged; remove it"):
        declared(store)


def test_a_card_of_an_older_version_is_read(store_of):
    store = store_of({})
    old = {"format": 1, "fingerprint": store.fingerprint, "asked": {"licence": "MIT"}}
    (store.path / "card.json").write_text(json.dumps(old))
    assert declared(store) == {"licence": "MIT"}
    card(CardConfig(str(store.path), consent="signed", health=False))
    assert declared(store) == {"licence": "MIT", "consent": "signed"}


@pytest.fixture
def checkpoint_of(tmp_path):
    """A checkpoint's two files; lineage never loads the network."""

    def write(made):
        import hashlib

        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        save_file({"x": zeros(2)}, folder / "model.safetensors")
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps({"format": 1, "config": {}, "made": made, "sha256": digest}))
        return folder

    return write


def made_from(store, **more):
    code = {"version": "0.1.0", "commit": "b" * 40, "modified": False}
    facts = {"command": "worldmodel train data=x", "steps": 9, "torch": "2", "hardware": "cpu"}
    return facts | {"code": code, "data": [origin(store)], "train": {"data": str(store.path)}} | more


def test_lineage_names_data_code_and_simulator(store_of, checkpoint_of, capsys):
    store = store_of(SIMULATED)
    folder = checkpoint_of(made_from(store))
    record = trace(str(folder))
    assert record["missing"] == []
    assert record["weights"]["intact"] and record["code"]["commit"] == "b" * 40
    (data,) = record["data"]
    assert data["fingerprint"] == store.fingerprint and data["here"] == "here, unchanged"
    assert data["card"]["licence"]["value"] == "Apache-2.0"
    assert data["simulators"] == [{"task": "push", "mujoco": "3.17.0", "gl": "egl", "scene_sha256": "5" * 64}]
    assert lineage(LineageConfig(str(folder))) == 0
    said = capsys.readouterr().out
    for words in ("intact", "commit bbbbbbbbbbbb", "commit aaaaaaaaaaaa", "MuJoCo 3.17.0, scene 555555555555, egl"):
        assert words in said
    assert "missing" not in said


def test_missing_links_are_named(store_of, checkpoint_of, capsys):
    store = store_of({})
    folder = checkpoint_of(made_from(store, code=None, command=None, train={}))
    (folder / "model.safetensors").write_bytes(b"other")
    missing = trace(str(folder))["missing"]
    for words in (
        "weights: they are not those", "training: its command", "code: the commit that trained",
        "data 1: its licence is unspecified", "data 1: its source is unspecified", "data 1: its consent is unspecified",
        "data 1: the commit that collected it", "data 1: no simulator recorded",
    ):  # fmt: skip
        assert any(line.startswith(words) for line in missing), words
    lineage(LineageConfig(str(folder), json=True))
    assert json.loads(capsys.readouterr().out)["missing"] == missing
    assert trace(str(checkpoint_of({})))["missing"][-1] == "data: none recorded"


def test_where_the_data_lie_now(store_of, checkpoint_of):
    store = store_of(SIMULATED)
    made = made_from(store)
    del made["data"][0]["card"]
    card(CardConfig(str(store.path), consent="asked again", health=False))
    folder = checkpoint_of(made)
    assert trace(str(folder))["data"][0]["card"]["consent"]["value"] == "asked again", "trained before cards travelled"
    made["data"][0]["fingerprint"] = "0" * 64
    assert trace(str(checkpoint_of(made)))["data"][0]["here"] == "another store lies there now"
    made["train"]["data"] = "nowhere"
    assert trace(str(checkpoint_of(made)))["data"][0]["here"] == "not on this machine"


def test_what_weights_were_begun_from(store_of, checkpoint_of, capsys):
    parent = made_from(store_of(SIMULATED))
    child = made_from(store_of(SIMULATED, "other")) | {"init": {"sha256": "f" * 64, "made": parent | {"command": None}}}
    folder = str(checkpoint_of(child))
    record = trace(folder)
    assert record["init"]["weights"]["sha256"] == "f" * 64 and record["init"]["init"] is None
    assert record["init"]["data"][0]["fingerprint"] == parent["data"][0]["fingerprint"]
    assert "before, training: its command was not recorded" in record["missing"]
    assert lineage(LineageConfig(folder)) == 0 and "begun from weights ffffffffffff" in capsys.readouterr().out


def test_the_shipped_checkpoint_has_a_lineage():
    record = trace("shipped")
    assert record["weights"]["intact"] and len(record["data"]) == 4
    assert {simulator["mujoco"] for data in record["data"] for simulator in data["simulators"]} == {"3.17.0"}
    assert {data["card"]["licence"]["value"] for data in record["data"]} == {"Apache-2.0"}


def test_the_revision_of_a_checkout():
    found = revision()
    assert found["version"]
    assert found["commit"] is None or (len(found["commit"]) == 40 and isinstance(found["modified"], bool))


def test_training_carries_the_card(tmp_path):
    """Into every checkpoint's ``made``, with the revision of the code."""
    from small import small_store

    from worldmodel.backbone import BackboneConfig
    from worldmodel.train import TrainConfig
    from worldmodel.train.setup import prepare

    small_store(tmp_path / "data")
    card(CardConfig(str(tmp_path / "data"), consent="signed", health=False))
    size = BackboneConfig(width=32, depth=2, heads=2)
    config = TrainConfig(data=str(tmp_path / "data"), out=str(tmp_path / "run"), steps=1, batch=2, backbone=size)
    made = json.loads(json.dumps(prepare(config).provenance))
    assert made["data"][0]["card"]["consent"] == {"value": "signed", "by": "person"}
    assert made["data"][0]["fingerprint"] == EpisodeStore.open(tmp_path / "data").fingerprint
    assert made["code"] == revision()


@pytest.mark.parametrize(
    "made",
    [{"data": "abc"}, {"data": ["abc"]}, {"data": 5}, {"train": "x"}, {"code": "x"}, {"init": [1]}],
)
def test_a_card_that_says_nonsense_is_one_line(checkpoint_of, made):
    with pytest.raises(CheckpointError, match=r"model\.json.* is damaged"):
        trace(str(checkpoint_of(made)))
