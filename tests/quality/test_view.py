"""The sheet is one file that needs nothing else; the recording for Rerun is written whole or asked for in one line."""

import base64
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.quality import recording
from worldmodel.quality.view import ViewConfig, choose, view
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    random = np.random.default_rng(0)
    with EpisodeStore.create(tmp_path / "store", {"command": "<collect>"}, 16) as writer:
        for seed, steps in enumerate((12, 9, 30, 14, 11, 13)):
            arrays = {image_key("scene"): random.integers(0, 255, (steps, 8, 8, 3), np.uint8)}
            arrays |= {image_key("wide"): random.integers(0, 255, (steps, 200, 300, 3), np.uint8)}
            arrays |= {key: random.normal(size=(steps, 3)).astype(np.float32) for key in (STATE, ACTION, EXECUTED)}
            writer.append(Episode(arrays, "push", seed, seed != 1))
        writer.seal()
    return EpisodeStore.open(tmp_path / "store")


def test_the_sheet_stands_alone(store, tmp_path):
    assert view(ViewConfig(str(store.path), str(tmp_path / "out"), random=1)) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    text = (tmp_path / "out" / "index.html").read_text()
    assert "http" not in text and "<script" not in text
    sources = re.findall(r'src="([^"]*)"', text)
    strips = [source for source in sources if source.startswith("data:image/jpeg;base64,")]
    plots = [source.partition("data:image/svg+xml;base64,")[2] for source in sources if source not in strips]
    assert all(plots), "nothing but pictures inside the page"
    assert len(re.findall("<section>", text)) == 4
    assert len(strips) == 8, "a strip per camera and episode"
    assert sum(base64.b64decode(plot).count(b'id="curve"') for plot in plots) == 4 * (3 + 2 * 3)
    for words in ("the first", "the longest", "the shortest", "drawn at random", "failed", "&lt;collect&gt;"):
        assert words in text


def test_which_episodes(store):
    reasons = choose(store, ViewConfig(str(store.path), random=2))
    assert reasons[0] == "the first" and reasons[2] == "the longest" and reasons[1] == "the shortest"
    assert len(reasons) == 5 == len(choose(store, ViewConfig(str(store.path), random=2, seed=1)))
    assert list(choose(store, ViewConfig(str(store.path), random=99))) == [0, 2, 1, 3, 4, 5]
    assert choose(store, ViewConfig(str(store.path), episodes="[4, 0]")) == {4: "as given", 0: "as given"}
    for wrong in ("6", "one", "", "-1"):
        with pytest.raises(UserError, match="expected numbers from 0 to 5"):
            choose(store, ViewConfig(str(store.path), episodes=wrong))


def test_without_rerun_one_line_says_what_to_install(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UserError, match=r"need the Rerun SDK: pip install 'rerun-sdk>="):
        view(ViewConfig(str(store.path), str(tmp_path / "out"), rerun=True))
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "rerun", types.SimpleNamespace(__version__="0.1"))
    with pytest.raises(UserError, match=r"0.1 is too old"):
        recording.load_rerun()


def test_live_needs_a_display_or_an_address(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", types.SimpleNamespace(Scalars=None))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display here"):
        recording.show_live(store, [0], 20.0, None)


def test_a_recording_for_rerun_holds_every_frame(store, tmp_path):
    pytest.importorskip("rerun")
    path = tmp_path / "out" / "episodes.rrd"
    assert view(ViewConfig(str(store.path), str(path.parent), episodes="1,4", rerun=True)) == 0
    assert not list(Path(path.parent).glob("*.partial"))
    content = path.read_bytes()
    assert content[:4] in (b"RRF2", b"RRF0", b"RRIO") and len(content) > 20 * 8 * 8 * 3
    dataframe = pytest.importorskip("rerun.dataframe")
    recorded = dataframe.load_recording(str(path))
    names = {str(column.entity_path) for column in recorded.schema().component_columns()}
    assert {"/episode_00001/scene", "/episode_00004/wide", "/episode_00004/action.executed/2"} <= names
