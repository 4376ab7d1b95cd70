"""Reports and verdicts from synthetic rows whose outcome is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.study import StudyConfig, rows, selfflow
from research.study.plan import Cell, Study, StudyData
from research.study.summary import differences, reached, success, summarize
from research.study.table import Table
from research.study.verdicts import NOT_RUN, NOT_SUPPORTED, SUPPORTED, UNDECIDED, decide, verdicts
from worldmodel.config import UserError

STARTS = 60


def outcome(share: float, seed: int) -> str:
    """The first ``share`` of the starts is solved, a little more or less by seed."""
    wins = round(share * STARTS) + (seed - 1)
    return "1" * wins + "0" * (STARTS - wins)


def made_row(config: StudyConfig, cell: Cell, share: float) -> rows.Row:
    row = rows.begin(Study(config, StudyData(("a",), "b", ("place_can",))), cell)
    half, whole = outcome(share / 2, cell.seed)[:20], outcome(share, cell.seed)
    losses = {"policy": 0.1, "forward": 0.2}
    row |= {"seconds": 100.0, "cpu_seconds": 110.0 if cell.arm == "self_flow" else 100.0, "parameters": 7}
    row["made"] = {"code": "c0de", "torch": "2", "device": "cpu", "system": "Linux", "cores": 2}
    row["checkpoints"] = [
        {"step": 2, "seconds": 50.0, "cpu_seconds": 51.0, "held_out": losses, "solved": half},
        {"step": 4, "seconds": 100.0, "cpu_seconds": 101.0, "held_out": losses, "solved": whole},
    ]
    row["curves"] = {"forward/align": [[1, -0.2], [4, -0.8]], "forward/mean_direction": [[1, 0.1], [4, 0.5]]}
    row["perturbed"] = {"camera": outcome(share / 2, cell.seed)}
    row["sampled"] = {"1": whole, "10": whole}
    if cell.arm != "action_only":
        psnr = [20.0 + share + 0.01 * cell.seed] * 16
        row["imagination"] = {"psnr": {"imagined": psnr, "copy_last_frame": [15.0] * 16}, "moments": 3, "episodes": 1}
    best = {"can": {"model": share + 0.01 * cell.seed, "random": 0.1, "pixels": 0.2, "proprioception": 0.0}}
    row["probe"] = {"best": best, "layers": {"observed frames, noise 0": {"can": {"1": 0.3, "2": 0.4}}}}
    return row


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig(
        plan="made",
        out=str(tmp_path / "out"),
        report=str(tmp_path / "report"),
        steps=4,
        checkpoints=2,
        episodes=STARTS,
        curve_episodes=20,
        report_only=True,
    )


def rows_of(config: StudyConfig, shares: dict[str, float], sizes: Sequence[int] = (10, 50)) -> list[rows.Row]:
    return [
        made_row(config, Cell(arm, size, seed), share)
        for arm, share in shares.items()
        for size in sizes
        for seed in (0, 1, 2)
    ]


def said(config: StudyConfig, shares: dict[str, float]) -> dict[str, str]:
    return {found.name: found.verdict for found in verdicts(Table(rows_of(config, shares)))}


def test_a_clear_gain_is_supported_and_what_was_not_run_is_said(config: StudyConfig) -> None:
    found = said(config, {"action_only": 0.2, "flow": 0.5, "self_flow": 0.8})
    assert found == {
        "H1": SUPPORTED,
        "H2": SUPPORTED,
        "H2a": SUPPORTED,
        "H2b": SUPPORTED,
        "H2c": SUPPORTED,
        "H3": NOT_RUN,
        "H4": NOT_RUN,
        "H5": SUPPORTED,
        "S1": NOT_RUN,
        "S2": NOT_RUN,
        "R1": NOT_RUN,
        "R2": NOT_RUN,
        "R3": NOT_RUN,
    }


def test_a_candidate_is_tested_on_seeds_that_suggested_nothing(config: StudyConfig) -> None:
    shares = {"flow": 0.4, "self_flow_strong": 0.7, "dual_strong": 0.7}
    old = rows_of(config, shares)
    fresh = [{**row, "seed": row["seed"] + 3} for row in old]
    for row in fresh:
        losses = {"policy": 0.08 if row["arm"] == "self_flow_strong" else 0.1, "forward": 0.2}
        row["checkpoints"] = [{**at, "held_out": losses} for at in row["checkpoints"]]
    assert {one.name: one.verdict for one in verdicts(Table(old))}["R1"] == NOT_RUN
    found = {one.name: one for one in verdicts(Table(old + fresh))}
    assert [found[name].verdict for name in ("R1", "R2", "R3")] == [SUPPORTED, NOT_SUPPORTED, SUPPORTED]
    assert found["R3"].numbers.startswith("0.800 (0.800 to 0.800)")


def test_equal_arms_are_not_an_effect_worth_having(config: StudyConfig) -> None:
    found = said(config, {"action_only": 0.5, "flow": 0.5, "self_flow": 0.5, "separated": 0.5})
    assert (found["H1"], found["H2c"], found["H2"], found["H3"]) == (NOT_SUPPORTED,) * 3 + (SUPPORTED,)
    assert (found["H2a"], found["H2b"]) == (NOT_SUPPORTED, NOT_SUPPORTED)


def test_attention_that_matters_contradicts_augmentation(config: StudyConfig) -> None:
    assert said(config, {"flow": 0.5, "self_flow": 0.8, "separated": 0.4})["H3"] == NOT_SUPPORTED


def test_sound_is_judged_by_success_and_by_what_is_foreseen(config: StudyConfig) -> None:
    made = rows_of(config, {"action_only": 0.4, "action_only_heard": 0.4, "flow_heard": 0.3})
    for row in made:
        if row["arm"] == "flow_heard":
            row["sound"] = {"r2": 0.3 + 0.01 * row["seed"], "r2_loud": 0.2, "steps": 9}
    found = {verdict.name: verdict.verdict for verdict in verdicts(Table(made))}
    assert (found["S1"], found["S2"]) == (NOT_SUPPORTED, SUPPORTED)


def test_the_rule() -> None:
    assert decide(0.1, (0.01, 0.2), (0.1, 0.1), 0.05) == SUPPORTED
    assert decide(0.1, (0.01, 0.2), (0.3, -0.1), 0.05) == UNDECIDED, "a seed disagrees"
    assert decide(0.01, (-0.1, 0.12), (0.0, 0.02), 0.05) == UNDECIDED
    assert decide(-0.05, (-0.1, 0.04), (0.0, -0.1), 0.05) == NOT_SUPPORTED


def test_one_seed_decides_nothing(config: StudyConfig) -> None:
    some = [row for row in rows_of(config, {"flow": 0.1, "self_flow": 0.9}) if row["seed"] == 0]
    found = {verdict.name: verdict.verdict for verdict in verdicts(Table(some))}
    assert (found["H2a"], found["H2b"], found["H2c"], found["H2"]) == (UNDECIDED,) * 4


def test_tables_count_what_the_rows_say(config: StudyConfig) -> None:
    table = Table(rows_of(config, {"flow": 0.5, "self_flow": 0.8}))
    flow = success(table)[0]
    assert (flow["arm"], flow["demonstrations"], flow["successes"], flow["episodes"]) == ("flow", 10, 90, 180)
    assert flow["by_seed"] == {"0": 29, "1": 30, "2": 31}
    first = differences(table)[0]
    assert (first["arm"], first["difference"], first["only_first"], first["only_second"]) == ("self_flow", 0.3, 54, 0)
    assert [one["demonstrations"] for one in differences(table)] == [[10], [50], [10, 50]]
    assert differences(table, "camera")[0]["difference"] == pytest.approx(0.15)
    # At step 2 of flow 14, 15 or 16 of the curve's 20 starts are solved; at step 4 all are.
    assert {(one["seed"], one["step"]) for one in reached(table, 0.75) if one["arm"] == "flow"} == {
        (0, 4),
        (1, 2),
        (2, 2),
    }
    hopeless = Table(rows_of(config, {"flow": 0.1}))
    assert {(one["step"], one["cpu_seconds"]) for one in reached(hopeless, 0.75)} == {(None, None)}
    found = summarize(table.rows, 0.5)
    ratio = next(one for one in found["cost"] if one["arm"] == "self_flow")
    assert ratio["against_baseline"] == pytest.approx(1.1)
    curve = next(one for one in found["curves"] if one["arm"] == "flow" and one["step"] == 2)
    assert curve["success"] == pytest.approx(np.mean([14 / 20, 15 / 20, 16 / 20]))


def test_held_out_losses_are_compared_as_ratios(config: StudyConfig) -> None:
    made = rows_of(config, {"flow": 0.5, "dual": 0.5, "mip": 0.5}, (10,))
    for row in made:
        if row["arm"] == "dual":
            row["checkpoints"][-1]["held_out"] = {"policy": 0.05, "forward": 0.4}
    told = {(one["arm"], one["loss"]): one for one in summarize(made, 0.5)["held_out"]}
    assert set(told) == {("dual", "policy"), ("dual", "forward")}, "a regression's loss has other units"
    assert (told["dual", "policy"]["ratio"], told["dual", "forward"]["ratio"]) == (0.5, 2.0)
    assert told["dual", "policy"]["interval"] == [0.5, 0.5] and told["dual", "policy"]["pairs"] == 3


def test_comparisons_take_only_seeds_that_both_have(config: StudyConfig) -> None:
    some = [row for row in rows_of(config, {"flow": 0.5, "mip": 0.6}, (10,)) if (row["arm"], row["seed"]) != ("mip", 2)]
    assert differences(Table(some))[0]["seeds"] == 2


def test_the_report_is_made_from_rows_alone(config: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    for row in rows_of(config, {"action_only": 0.2, "flow": 0.5, "self_flow": 0.8}):
        rows.write(rows.path_of(config, Cell(row["arm"], row["demonstrations"], row["seed"])), row)
    assert selfflow(config) == 0
    folder = config.folder
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())
    readme, page = (folder / "README.md").read_text(), (folder / "index.html").read_text()
    assert told["cells"] == 18 and "180 = 50.0 %" in readme and "**supported**" in readme
    plots = ["success.png", "curves-10.png", "curves-50.png", "imagination.png", "probes.png", "diagnostics.png"]
    for name in plots:
        assert (folder / name).stat().st_size > 0 and f"]({name})" in readme and f'src="{name}"' in page
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert selfflow(config) == 0
    assert all((folder / name).read_bytes() == data for name, data in before.items()), "the same rows, the same report"
    assert "H1   supported" in capsys.readouterr().out


def test_rows_of_different_plans_do_not_mix(config: StudyConfig) -> None:
    mixed = rows_of(config, {"flow": 0.5}) + rows_of(replace(config, steps=8), {"mip": 0.5})
    with pytest.raises(UserError, match="rows of mip and flow differ in steps"):
        Table(mixed)
    matched = rows_of(config, {"action_only_matched": 0.5, "flow": 0.5})
    assert matched[0]["settings"]["steps"] == 3 and summarize(matched, 0.5)["settings"]["steps"] == 4
