"""Pages stand alone and escape whatever they are given; no Python file holds HTML."""

from __future__ import annotations

import ast
import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.probe import report as probe_report
from research.study import report as study_report
from research.study.sections import sections
from worldmodel.data import EpisodeStore
from worldmodel.demo import page as demo_page
from worldmodel.evaluate import report
from worldmodel.imagine.score import report_page as score_page
from worldmodel.imagine.score.gallery import Gallery, Shown
from worldmodel.quality import view as view_page
from worldmodel.report import page
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key

ROOT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert(1)</script>&"
TAG = re.compile(
    r"</?(a|b|br|circle|code|dd|details|div|dl|dt|figure|h[1-6]|head|html|img|li|line|main|p|path|polyline|pre|rect"
    r"|script|section|small|span|style|summary|svg|table|tbody|td|text|th|thead|tr|ul|video)(?=[\s/>]|$)"
)


def empty(**changes: Any) -> str:
    values = {"title": "t", "lead": (), "tiles": (), "sections": (), "record": None}
    return page.render("study.html", **values | changes)


def section(*rows: tuple[str, ...]) -> dict[str, Any]:
    return {"title": "s", "remark": "", "head": ("x", "y"), "rows": rows, "plots": ()}


def test_a_page_escapes_and_stands_alone() -> None:
    text = empty(
        title="<b>", tiles=[("a", "<script>", "&")], sections=[section(("<i>1</i>", "")), section(("1 < 2", ""))]
    )
    assert "<script" not in text and "<i>" not in text
    assert "&lt;b&gt;" in text
    assert "&lt;i&gt;1&lt;/i&gt;" in text
    assert "1 &lt; 2" in text
    assert "viewport" in text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text


def test_sentences_in_tables_wrap_and_numbers_do_not() -> None:
    text = empty(sections=[section(("what was said beforehand about this < that", "0.5 (0.4 to 0.6)"))])
    assert '<td class="prose">what was said beforehand about this &lt; that</td><td>0.5 (0.4 to 0.6)</td>' in text


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(Exception, match="'lead' is undefined"):
        page.render("study.html", title="t")


def evaluation(folder: Path) -> str:
    lines = {
        index: {"success": index > 0, "seconds": 2.5, "decisions": 4, "start": EVIL, "closest": 0.2, "raised": 0.0}
        for index in range(3)
    }
    (folder / "videos").mkdir()
    (folder / "videos" / "0000.mp4").touch()
    timed = {"p50": 1.0, "p95": 2.0, "size": 4}
    found = {
        "task": EVIL,
        "checkpoint": EVIL,
        "perturb": EVIL,
        "starts": {"name": EVIL},
        "notes": [EVIL],
        "act_ms": timed,
        "batch_ms": timed,
        "steps_per_second": 9.0,
        "n_action_steps": 8,
        "fingerprint": {"weights": EVIL},
        **report.score(lines),
        "paired": {"against": EVIL, "episodes": 3, "both": 1, "only_first": 1, "only_second": 1, "neither": 0}
        | {"difference": 0.0, "interval": [-0.1, 0.1], "p_value": 1.0},
    }
    return report.render(folder, found, lines)


def demo(folder: Path) -> str:
    scene = {"episode": 1, "success": False, "seconds": 2.0, "decisions": 3, "start": EVIL}
    scene["psnr"] = {"imagined": 20.0, "copy_last_frame": 19.0}
    return demo_page.render(
        {
            "task": EVIL,
            "checkpoint": EVIL,
            "weights": EVIL,
            "notes": [EVIL],
            "scenes": [scene],
            "successes": 0,
            "episodes": 1,
            "interval": [0.0, 0.8],
            "within_one_step": 1.0,
            "n_action_steps": 8,
            "act_ms": {"p50": 1.0, "p95": 2.0},
            "imagine_ms": {"p50": 1.0, "p95": 2.0},
            "chunk_ms": 400.0,
            "psnr": {
                "1": {"imagined": 20.0, "copy_last_frame": 19.0},
                "2": {"imagined": 19.0, "copy_last_frame": 18.0},
            },
        }
    )


def scorecard(folder: Path) -> str:
    found = json.loads((ROOT / "eval" / "reports" / "score" / "place_can.json").read_text())
    marks = next(iter(found["cameras"].values()))
    found |= {"checkpoint": EVIL, "data": EVIL, "notes": [EVIL], "left_out": {EVIL: EVIL}}
    found |= {"cameras": {EVIL: marks}, "groups": {EVIL: {EVIL: marks}}, "interval": EVIL}
    found["action_sensitivity"]["cameras"] = {EVIL: 1.0}
    found["inverse_error"]["unit"] = EVIL
    found["shown"] = {kind: [{"episode": 0, "step": 1, "psnr": 9.0, "task": EVIL}] for kind in ("worst", "at random")}
    gallery, frame = Gallery(1), np.zeros((1, 16, 16, 3), np.uint8)
    count = len(found["frames"])
    gallery.worst = gallery.typical = [Shown(1.0, 0, 0, frame, np.stack([frame] * count), np.stack([frame] * count))]
    return score_page.render(found, gallery)


def episodes(folder: Path) -> str:
    arrays = {image_key("scene"): np.zeros((5, 8, 8, 3), np.uint8)}
    arrays |= {key: np.zeros((5, 2), np.float32) for key in (STATE, ACTION, EXECUTED)}
    with EpisodeStore.create(folder / "store", {"command": EVIL}, 16) as writer:
        writer.append(Episode(arrays, EVIL, 0, True))
        writer.seal()
    return view_page.render(EpisodeStore.open(folder / "store"), {0: EVIL}, 3, 20.0)


def study(folder: Path) -> str:
    found = json.loads((ROOT / "eval" / "reports" / "selfflow" / "lift" / "report.json").read_text())
    found |= {"plan": EVIL, "arms": {**found["arms"], EVIL: EVIL}}
    found["verdicts"][0]["claim"] = EVIL
    found["settings"]["task"] = EVIL
    return study_report.html(found, sections(found, [EVIL, "success.png"]))


def probes(folder: Path) -> str:
    row = {"target": "can", "tokens": "observed", "noise": 0.0, "features": "model", "layer": 1, "pooling": EVIL}
    row |= {"score": 0.5, "interval": [0.4, 0.6], "error": 1.0}
    return probe_report.render(
        {
            "data": {"moments": 1, "episodes": {"fit": 1, "choose": 1, "test": 1}, "seen_in_training": 0},
            "config": {"frames": 1},
            "computed": {"dtype": EVIL, "mode": EVIL, "threads": 1},
            "seconds": 1.0,
            "checkpoint": EVIL,
            "weights": EVIL,
            "targets": {"can": {"label": EVIL, "kind": "metres"}},
            "best": [row],
        }
    )


@pytest.mark.parametrize("make", [evaluation, demo, scorecard, episodes, study, probes])
def test_every_page_escapes_names(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    text = make(tmp_path)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in text
    pictures = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([^\"]*)", text)]
    for shown in (text, *pictures):
        assert "<script" not in shown.lower()
    assert "http" not in text and "<style>" in text and text.count("<h1>") == 1


@pytest.mark.parametrize("folder", ["worldmodel", "research"])
def test_html_is_in_templates_only(folder: str) -> None:
    assert TAG.search("a <td>") and TAG.search('<p class="x">') and not TAG.search("5 < b > 4, <folder>")
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                assert not TAG.search(node.value), f"{path.relative_to(ROOT)}:{node.lineno}: HTML belongs in a template"


def test_templates_escape_everything() -> None:
    for path in (ROOT / "worldmodel" / "report" / "templates").glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path.name
