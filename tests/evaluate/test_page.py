"""Videos that browsers play, pages that need nothing but themselves."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from worldmodel.evaluate import report
from worldmodel.report import page, video


def test_an_mp4_shows_what_was_put_in(tmp_path: Path) -> None:
    pictures = [np.full((37, 51, 3), 40 * i, np.uint8) for i in range(5)]
    video.write_mp4(tmp_path / "a" / "x.mp4", pictures, 20)
    with av.open(str(tmp_path / "a" / "x.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20
    assert [frame.shape for frame in frames] == [(38, 52, 3)] * 5, "padded to even sides"
    for frame, picture in zip(frames, pictures, strict=True):
        assert abs(float(frame.mean()) - float(picture.mean())) < 4
    assert not list(tmp_path.rglob("*.partial"))


def test_pictures_are_put_together() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    row = video.side_by_side([frame, frame], ["scene", "wrist"], edge=16)
    assert row.shape == (16 + video.BAR, 32 + video.GAP, 3)
    assert video.in_column([row, row]).shape[0] == 2 * row.shape[0] + video.GAP
    assert video.caption(row, "t").shape[0] == row.shape[0] + video.BAR


def test_a_page_escapes_and_stands_alone() -> None:
    text = page.document("<b>", page.facts([("a", "<script>", "&")]), page.table(("x",), [("<i>1</i>",), ("1 < 2",)]))
    assert "<script" not in text
    assert "&lt;b&gt;" in text
    assert "1 &lt; 2" in text
    assert "viewport" in text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text


def test_a_plot_has_round_ticks() -> None:
    drawn = page.plot([("a", [(0.0, 0.0), (4.3, 100.0)])], "seconds", "%", "over time", steps=True)
    for tick in (">0<", ">1<", ">4<", ">100<"):
        assert tick in drawn
    assert page.plot([("a", [])], "x", "y", "z") == ""
    assert "nan" not in page.plot([("a", [(1.0, 1.0)])], "x", "y", "z")


def test_verdicts_name_what_went_wrong() -> None:
    line = {"success": False, "closest": 0.2, "raised": 0.0}
    assert report.verdict(line) == "never reached the can"
    assert report.verdict(line | {"closest": 0.02}) == "reached it, never lifted it"
    assert report.verdict(line | {"closest": 0.02, "raised": 0.2}) == "lifted it, did not finish"
    assert report.verdict({"success": True}) == "success"
    lines = {i: {"success": i % 2 == 0, "seconds": 1.0} for i in range(4)}
    assert report.failures_first(lines) == [1, 3, 0, 2]
    assert report.score(lines)["successes"] == 2


def test_sentences_in_tables_wrap_and_numbers_do_not() -> None:
    text = page.table(("claim", "number"), [("what was said beforehand about this < that", "0.5 (0.4 to 0.6)")])
    assert '<td class="prose">what was said beforehand about this &lt; that</td><td>0.5 (0.4 to 0.6)</td>' in text
