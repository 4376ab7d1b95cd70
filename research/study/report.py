"""The report of a study, made from its rows alone: report.json, README.md and index.html with plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from research.study import rows
from research.study.plan import StudyConfig
from research.study.plots import draw
from research.study.sections import Section, sections
from research.study.summary import summarize
from research.study.table import Table
from research.study.verdicts import verdicts
from worldmodel.config import UserError
from worldmodel.files import write_file, write_json
from worldmodel.report import page


def report(config: StudyConfig) -> int:
    """Write the report of a plan's rows and say the verdicts. UserError where there are no rows."""
    folder, found = config.folder, rows.read_all(config)
    if not any("checkpoints" in row for row in found):
        raise UserError(f"{folder / 'rows'}: no rows; run the study first, or name another plan=")
    summary = summarize(found, config.reach) | {"plan": config.plan}
    summary["verdicts"] = [asdict(verdict) for verdict in verdicts(Table(found))]
    parts = sections(summary, draw(summary, folder))
    write_json(folder / "report.json", summary)
    write_file(folder / "README.md", markdown(summary, parts))
    write_file(folder / "index.html", html(summary, parts))
    for verdict in summary["verdicts"]:
        print(f"{verdict['name']:4} {verdict['verdict']:14} {verdict['claim']}: {verdict['numbers']}")
    print(f"{folder / 'README.md'}, {folder / 'report.json'}; open {folder / 'index.html'} in a browser")
    return 0


def about(summary: Mapping[str, Any]) -> list[str]:
    """What was run, in a few sentences."""
    settings, made = summary["settings"], summary["made"]
    whole = len(summary["arms"]) * len(summary["demonstrations"]) * len(summary["seeds"])
    model = f"a backbone of width {settings['backbone.width']} and depth {settings['backbone.depth']}"
    lines = [
        f"{summary['cells']} of {whole} cells: {len(summary['arms'])} arms x seeds "
        f"{', '.join(map(str, summary['seeds']))} x {', '.join(map(str, summary['demonstrations']))} demonstrations; "
        f"task {settings['task']}, {settings['steps']} steps of {settings['batch']}, {model}, "
        f"{settings['episodes']} starts.",
    ]
    lines += [
        f"Made with torch {one['torch']} on {one['device']} ({one['system']}, {one['cores']} cores), training code "
        f"{one['code']}."
        for one in made
    ]
    if len(made) > 1:
        lines.append("Rows stand side by side that were made by several versions or machines: see `made` in each row.")
    return lines


def markdown(summary: Mapping[str, Any], parts: list[Section]) -> str:
    """README.md."""
    lines = [f"# Study `{summary['plan']}`", "", *(f"{text}  " for text in about(summary)), ""]
    lines += ["Made from `rows/` by `worldmodel study selfflow`; do not edit.", ""]
    for part in parts:
        lines += [f"## {part.title}", "", *([part.remark, ""] if part.remark else [])]
        lines += ["| " + " | ".join(part.head) + " |", "|" + " --- |" * len(part.head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in part.rows]
        lines += ["", *(f"![{part.title}]({name})\n" for name in part.plots)]
    return "\n".join(lines).rstrip() + "\n"


def html(summary: Mapping[str, Any], parts: list[Section]) -> str:
    """index.html."""
    blocks = [
        {
            "title": part.title,
            "remark": part.remark,
            "head": part.head,
            "rows": [[cell.replace("**", "") for cell in row] for row in part.rows],
            "plots": [{"source": name, "caption": part.title} for name in part.plots],
        }
        for part in parts
    ]
    title = f"Study {summary['plan']}"
    return page.render("study.html", title=title, lead=about(summary), tiles=[], sections=blocks, record=dict(summary))
