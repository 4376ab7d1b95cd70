"""The command ``score``: measure, print, and write ``score.json`` and ``index.html``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldmodel import checkpoint
from worldmodel.devices import use_threads
from worldmodel.files import write_file, write_json
from worldmodel.imagine.config import ScoreConfig
from worldmodel.imagine.score.evaluator import measure_all
from worldmodel.imagine.score.report_page import render
from worldmodel.imagine.score.summary import READ, summarise
from worldmodel.model import WorldModel
from worldmodel.settings import keep


def score(config: ScoreConfig) -> int:
    """Print how far predicted actions and frames are from what was recorded, beside the simplest guesses."""
    use_threads(config.threads)
    model = checkpoint.load(config.checkpoint)
    measured = measure_all(model, config)
    about = {"checkpoint": config.checkpoint, "weights": checkpoint.card(config.checkpoint)["sha256"]}
    found = {**about, "data": config.data, **summarise(measured, model.config, config)}
    print("\n".join(as_lines(found)))
    if config.out is not None:
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        keep(out, config)
        write_json(out / "score.json", found)
        write_file(out / "index.html", render(found, measured.gallery))
        print(f"{out / 'index.html'} shows {len(measured.gallery.worst)} worst cases first")
    return 0


def measure(model: WorldModel, config: ScoreConfig) -> dict[str, Any]:
    """The scorecard as a JSON record; see `summarise` for what is in it."""
    return summarise(measure_all(model, config), model.config, config)


def as_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['windows']} windows of {found['episodes']} episodes; intervals: {found['interval']}"
    for row in at_marks(found.get("frames", ())):
        figures = [
            f"{name.replace('_', ' ')} {float(row[name]['psnr']):.1f} dB, SSIM {row[name]['ssim']:.2f}"
            for name in ("imagined", "no_action", "copy_last_frame")
            if name in row and row[name]["psnr"] is not None
        ]
        yield f"frames {row['seconds']:.2f} s ahead ({row['moments']}): {'; '.join(figures)}"
    if "action_sensitivity" in found and (ratio := found["action_sensitivity"]["ratio"]) is not None:
        yield f"other windows' actions: {float(ratio):.2f} times the squared error (1: a model that ignores them)"
    for name, row in found.get("inverse_error", {}).items():
        if isinstance(row, dict) and row["median"] is not None:
            unit, first = found["inverse_error"]["unit"], row["by_step"][0]
            low, high = row["first_interval"]
            early = "" if first is None else f", {first:.1f} ({low:.1f} to {high:.1f}) in the chunk's first step"
            yield f"position error, {READ[name]}: {row['median']:.1f} {unit} off (median{early})"
    actions = found["actions"]
    if actions.get("error") is not None:
        still = f"zero-motion baseline: {100 * actions['zero_motion']:.2f} %"
        yield f"actions: {100 * actions['error']:.2f} % of their range off; {still}"
    yield from found["left_out"].values()
    yield from (f"note: {note}" for note in found["notes"])


def at_marks(rows: Any) -> list[Any]:
    """The first row, those at half a second, one and two, and the last."""
    seconds = [row["seconds"] for row in rows]
    if not rows:
        return []
    near = {min(range(len(rows)), key=lambda k: abs(seconds[k] - mark)) for mark in (0.5, 1, 2)}
    return [rows[k] for k in sorted({0, len(rows) - 1} | near)]
