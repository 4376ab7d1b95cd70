"""Plots say what their axes are, leave gaps where nothing was measured, and are the same for the same values."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from worldmodel.report.plots import COLOURS, Curve, curves, panels, save, traces


def svg(source: str) -> str:
    kind, _, content = source.partition(";base64,")
    assert kind == "data:image/svg+xml"
    return base64.b64decode(content).decode()


def test_a_plot_has_round_ticks_and_labelled_axes() -> None:
    drawn = svg(curves([Curve("a", [0.0, 4.3], [0.0, 100.0], steps=True)], "time, s", "solved, %"))
    for tick in (">0<", ">1<", ">4<", ">100<", ">time, s<", ">solved, %<"):
        assert tick in drawn
    assert curves([Curve("a", [], [])], "x", "y") == ""
    assert "nan" not in svg(curves([Curve("a", [1.0], [1.0])], "x", "y"))


def test_what_is_missing_is_a_gap() -> None:
    line = Curve("a & <b>", [1, 2, 3], [1.0, None, float("inf")], [(0.5, 1.5), (None, None), (0.0, 1.0)])
    drawn = svg(curves([line, Curve("other", [1, 2], [0.0, 1.0], dashed=True)], "x", "y"))
    assert "nan" not in drawn and "a &amp; &lt;b&gt;" in drawn and ">other<" in drawn
    assert COLOURS[0] in drawn and COLOURS[1] in drawn and "stroke-dasharray" in drawn
    assert curves([Curve("a", [1, 2], [None, float("nan")])], "x", "y") == ""


def test_the_same_values_are_the_same_plot(tmp_path: Path) -> None:
    line = Curve("a", [0.0, 1.0], [0.0, 1.0])
    assert curves([line], "x", "y") == curves([line], "x", "y")
    files = []
    for name in ("a.png", "b.png"):
        figure, axes = panels(1, 2, (6, 3))
        axes[0][0].plot([0, 1], label="one")
        axes[0][1].plot([1, 0], label="two")
        assert save(figure, tmp_path / name, legend=2) == name
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_traces_have_a_curve_per_dimension_and_array() -> None:
    values = np.arange(60.0).reshape(3, 20)
    values[1, 0] = np.nan
    names = [f"v[{i}]" for i in range(20)]
    drawn = svg(traces(values, values + 1, names, 10.0))
    assert drawn.count('id="curve"') == 2 * 16, "at most sixteen dimensions"
    assert ">v[15]<" in drawn and ">v[16]<" not in drawn and ">seconds<" in drawn
