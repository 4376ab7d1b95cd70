"""What the probes found, as plots, a page and a few lines.

``results`` of ``probe.json`` has one row per set of features and target; ``best`` keeps, for every kind of features,
the layer and pooling that did best on the episodes which chose the penalty, with the error of every test episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodel.files import write_file
from worldmodel.report import page
from worldmodel.report.plots import panels, save

type Row = Mapping[str, Any]

POOLINGS = {
    "grid": "every token's place kept (its leading principal components, one after another)",
    "mean": "averaged over each camera's tokens",
}
KINDS = {
    "model": "this model",
    "random": "untrained model of the same shape",
    "pixels": "raw pixels",
    "proprioception": "proprioception alone",
}
TOKENS = {"observed": "observed frames", "future": "future frame"}


def write(out: Path, found: Row) -> None:
    """Two plots and the page."""
    for pooling in POOLINGS:
        draw(found, pooling, out / f"{pooling}.png")
    write_file(out / "index.html", render(found))


def draw(found: Row, pooling: str, path: Path) -> None:
    """Score against layer, one panel per target and kind of tokens, one curve per noise level; baselines as lines."""
    names = list(found["targets"])
    size = (3.1 * len(names), 6.4)
    figure, axes = panels(len(TOKENS), len(names), size, sharex="row", sharey="col")
    for line, tokens in zip(axes, TOKENS, strict=True):
        for axis, name in zip(line, names, strict=True):
            rows = [row for row in found["results"] if row["target"] == name and row["tokens"] == tokens]
            _panel(axis, rows, pooling, max(_layers(found)))
            target, shown = found["targets"][name], (pooling, "none")
            least = min(r["score"] for r in found["results"] if r["target"] == name and r["pooling"] in shown)
            axis.set_ylim(max(-0.1, least - 0.05), 1.02)
            axis.set_title(f"{target['label']}\n{TOKENS[tokens]}", fontsize=9)
            axis.set_ylabel("R²" if target["kind"] == "metres" else "balanced accuracy", fontsize=8)
            axis.tick_params(labelsize=8, labelleft=True)
    for axis in axes[-1]:
        axis.set_xlabel("after block", fontsize=8)
    figure.suptitle(f"Linear probes, {pooling} pooling: {POOLINGS[pooling]}; band: 95 % interval", fontsize=11)
    save(figure, path, legend=8)


def _panel(axis: Any, rows: Sequence[Row], pooling: str, deepest: int) -> None:
    """The curves and lines of one target and one kind of tokens."""
    import matplotlib

    mine = [row for row in rows if row["pooling"] == pooling]
    levels = sorted({row["noise"] for row in rows if row["features"] == "model"})
    for number, level in enumerate(levels):
        curve = sorted((r for r in mine if r["features"] == "model" and r["noise"] == level), key=lambda r: r["layer"])
        colour = matplotlib.colormaps["viridis"](0.9 * number / max(len(levels) - 1, 1))
        x, y = [r["layer"] for r in curve], [r["score"] for r in curve]
        axis.plot(x, y, "o-", ms=4, color=colour, label=f"noise {level:g}")
        if number == 0:
            low, high = ([r["interval"][end] for r in curve] for end in (0, 1))
            axis.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    double = sorted((r for r in mine if r["features"] == "random"), key=lambda r: r["layer"])
    axis.plot([r["layer"] for r in double], [r["score"] for r in double], "x--", color="0.5", label=KINDS["random"])
    for kind, style in (("pixels", ":"), ("proprioception", "-.")):
        for row in rows:
            if row["features"] == kind and row["pooling"] in (pooling, "none"):
                axis.axhline(row["score"], ls=style, color="tab:red", lw=1.2, label=KINDS[kind])
    axis.set(xticks=range(1, deepest + 1), xlim=(0.7, deepest + 0.3))


def _layers(found: Row) -> list[int]:
    return [row["layer"] for row in found["results"]]


def pick(found: Row, target: str, features: str, tokens: str = "observed", noise: float = 0.0) -> Row | None:
    """The best row of one kind of features for a target; None where there is none."""
    wanted = {"target": target, "features": features, "tokens": tokens, "noise": noise}
    return next((row for row in found["best"] if all(row[key] == value for key, value in wanted.items())), None)


def lines(found: Row) -> list[str]:
    """One line per target: the observed frames' best probe beside the baselines."""
    out = []
    for name, target in found["targets"].items():
        scores = []
        for features in KINDS:
            if row := pick(found, name, features):
                where = f" (block {row['layer']}, {row['pooling']})" if features == "model" else ""
                scores.append(f"{KINDS[features]} {score_text(row, target)}{where}")
        out.append(f"{target['label']}: {'; '.join(scores)}")
    return out


def score_text(row: Row, target: Row) -> str:
    """A score and its error in a few words."""
    if target["kind"] == "metres":
        return f"R² {row['score']:.3f}, {row['error']:.1f} mm"
    return f"{100 * row['score']:.1f} %"


def render(found: Row) -> str:
    """The page."""
    data, config = found["data"], found["config"]
    counts = data["episodes"]
    tiles = [
        ("time steps", str(data["moments"]), f"{config['frames']} per episode at most"),
        (
            "episodes",
            str(sum(counts.values())),
            f"{counts['fit']} fit, {counts['choose']} choose, {counts['test']} test",
        ),
        ("seen in training", str(data["seen_in_training"]), "of these episodes, by the model"),
        ("computed in", found["computed"]["dtype"], found["computed"]["mode"]),
        ("took", f"{found['seconds']:.0f} s", f"{found['computed']['threads']} threads"),
    ]
    head = ("target", "tokens", "noise", "features", "block", "pooling", "score", "95 % interval", "error")
    plots = [{"source": f"{name}.png", "caption": f"{name}: {what}"} for name, what in POOLINGS.items()]
    return page.render(
        "study.html",
        title="Linear probes",
        lead=[f"Checkpoint {found['checkpoint']}, weights {found['weights'][:12]}.", METHOD],
        tiles=tiles,
        sections=[
            {"title": "Best of each, on test episodes", "remark": "", "head": head, "rows": _table(found), "plots": []},
            {"title": "By layer and noise", "remark": "", "head": (), "rows": [], "plots": plots},
        ],
        record=None,
    )


METHOD = (
    "Ridge regression in closed form on frozen features; episodes, not time steps, are split into "
    "those that fit, those that choose the penalty (and, in the table, block and pooling) and those that test. "
    "Score: R² averaged over axes, "
    "or balanced accuracy of a ridge discriminant with equal priors; error: mean distance in millimetres, or "
    "share of wrong answers. Intervals: bootstrap over test episodes. Held: the can's centre lies between the "
    "fingertips and the opening is a can's diameter. A future frame is probed for its own time step, given the clean "
    "observation."
)


def _table(found: Row) -> list[Sequence[str]]:
    """Rows of the page's table: target by target, the model first."""
    order = list(KINDS)
    rows = sorted(
        found["best"],
        key=lambda r: (
            list(found["targets"]).index(r["target"]),
            r["tokens"] != "observed",
            order.index(r["features"]),
        ),
    )
    out: list[Sequence[str]] = []
    for row in rows:
        target, (low, high) = found["targets"][row["target"]], row["interval"]
        error = f"{row['error']:.1f} mm" if target["kind"] == "metres" else page.percent(row["error"])
        block = str(row["layer"]) if row["layer"] else ""
        names = (target["label"], TOKENS[row["tokens"]], f"{row['noise']:g}", KINDS[row["features"]], block)
        out.append((*names, row["pooling"], f"{row['score']:.3f}", f"{low:.3f} to {high:.3f}", error))
    return out
