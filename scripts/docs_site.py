"""Hooks of the documentation site (mkdocs.yml): pages from outside docs/, links to them, and the command reference.

Cards, reports and the documents at the root stay where they are, because the code and readers of the repository look
for them there. Here they become pages of the site, and links that leave docs/ are turned into links between pages.
What is linked and is no page (a report's JSON, a source file) is copied into the site, so that nothing is loaded
from elsewhere.
"""

import posixpath
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GUESTS = (
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "checkpoints/*.md",
    "configs/*.md",
    "datasets/*.md",
)
GUESTS += ("envs/*.md", "eval/*.md", "eval/reports/**/*.md", "research/**/*.md", "plugins/*/*.md")
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
"""The target of a link or picture, and the anchor behind it."""
AS_TEXT = (".py", ".sh", ".yaml", ".toml", ".lock", ".xml", ".jsonl", ".md", "")
"""Files that a browser would rather save than show; they get the suffix .txt on the site."""


def on_files(files: Files, config: Any) -> Files:
    """Add the guests among the pages, and every file of the repository that any page links to."""
    for path in _guests():
        if path.suffix == ".md":
            files.append(File.generated(config, _place(path), abs_src_path=str(path)))
    added = set[str]()
    for page in [*DOCS.rglob("*.md"), *_guests()]:
        for target in _linked(page):
            place = _place(target)
            if not target.is_relative_to(DOCS) and target.suffix != ".md" and place not in added:
                added.add(place)
                files.append(File.generated(config, place, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in the command reference; point links at the places that pages and files have on the site."""
    if "<!-- commands -->" in markdown:
        return markdown.replace(
            "<!-- commands -->", runpy.run_path(str(ROOT / "scripts" / "reference.py"))["reference"]()
        )
    source = Path(page.file.abs_src_path)

    def moved(match: re.Match[str]) -> str:
        target = _target(source, match[1])
        if target is None:
            return match[0]
        return posixpath.relpath(_place(target), posixpath.dirname(page.file.src_uri) or ".") + (match[2] or "")

    return LINK.sub(moved, markdown)


def _guests() -> Iterator[Path]:
    for pattern in GUESTS:
        yield from sorted(path for path in ROOT.glob(pattern) if "local" not in path.parts)


def _linked(page: Path) -> Iterator[Path]:
    for match in LINK.finditer(page.read_text()):
        if (target := _target(page, match[1])) is not None:
            yield target


def _target(source: Path, link: str) -> Path | None:
    """The file of this repository that a relative link means; a folder means its README. None for anything else."""
    path = (source.parent / link).resolve()
    path = path / "README.md" if path.is_dir() else path
    return path if ":" not in link and path.is_file() and path.is_relative_to(ROOT) else None


def _place(path: Path) -> str:
    """Where a file of the repository is on the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    if path == ROOT / "README.md":
        return "index.md"
    if path.suffix != ".md":
        return f"files/{name}{'.txt' if path.suffix in AS_TEXT else ''}"
    return f"{'project' if '/' not in name else 'repository'}/{name.replace('README.md', 'index.md')}"
