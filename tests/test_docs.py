"""Prose is held to the code: its commands parse, its Python runs, its paths and pictures exist, its words are plain."""

import ast
import contextlib
import importlib
import importlib.util
import io
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel import cli
from worldmodel.settings import describe

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += [*PAGES, *sorted((ROOT / "checkpoints").glob("*.md")), ROOT / "eval" / "README.md"]
DOCUMENTS += [
    *sorted((ROOT / "envs").glob("*.md")),
    *sorted((ROOT / "datasets").glob("*.md")),
    ROOT / "configs" / "README.md",
]
DOCUMENTS += [
    ROOT / "plugins" / "lerobot_policy_worldmodel" / "README.md",
    *sorted((ROOT / "eval" / "reports").glob("*/README.md")),
]
MADE_BY_RUNNING = ("outputs/", "datasets/local/", "dist/", "worldmodel/_assets/")
MADE_BY_READERS = (
    "worldmodel/sims/dot.py",
    "worldmodel/tokens/temperature.py",
    "envs/place_can_corner.md",
    "envs/NAME.xml",
)
FENCE = re.compile(r"^(<!-- compile only -->\n+)?```(\w*)[^\n]*\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)

README_WORDS = 1200
PRIVATE_WORDS = {
    "told": r"\btold\b",
    "said": r"\bsaid\b",
    "goes for training stages": r"\b(?:\w+teen|one|two|three|four|five|several|last|first|of|the|its) goes?\b",
    "exam": r"\bexam(?:s|ine|ines|ined|ination|inations)?\b",
    "sits an exam": r"\bsits? (?:our|the|an|one)\b",
    "who stays where it is": r"\bwho stays where|\bstaying where it is\b",
    "the last again": r"\blast (?:one |frame )?again\b|\bfirst frame again\b",
    "verb": r"\bverbs?\b",
    "frozen starts": r"\bfrozen start",
    "thinking": r"\bthinking\b",
    "a look": r"\ba look\b|\beach look\b|\bfirst look\b",
    "as they lie there": r"\bas they lie\b",
    "nobody said": r"\bnobody sa",
    "arm for objective": r"\b(?:arms and|arms that|ten arms|all arms|the arm:)",
}
PLAIN = DOCUMENTS
DOCSTRING_BUDGET = 96
"""Private words left in docstrings of worldmodel/. It may only shrink."""

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path) -> list[tuple[str, str, bool]]:
    """Every code block of a document: its language, its text, and whether it is meant to be run."""
    return [(match[2], match[3], match[1] is None) for match in FENCE.finditer(path.read_text())]


def code(path: Path) -> list[str]:
    """Every line of a code block, continued lines joined, and every inline piece of code."""
    lines = [line for _, text, _ in blocks(path) for line in text.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE))
    return [line.split("  #")[0].strip() for line in lines] + inline


def commands() -> list[str]:
    found = {piece for path in DOCUMENTS for piece in code(path) if piece.startswith(("worldmodel ", "make "))}
    return sorted(piece for piece in found if "..." not in piece and "COMMAND" not in piece and "<" not in piece)


def reference() -> str:
    return str(runpy.run_path(str(ROOT / "scripts" / "reference.py"))["reference"]())


@pytest.mark.parametrize("command", commands())
def test_commands_are_valid(command: str) -> None:
    program, *words = shlex.split(command.split("#")[0].split(";")[0])
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), f"no target {words[0]}"
    else:
        verb, rest = cli.find_verb([word for word in words if not word.startswith(("-", "$"))])
        overrides = [f"{verb.bare}={word}" if "=" not in word else word for word in rest]
        describe(verb.name.replace(" ", "_"), cli.schema_of(verb), overrides)


def test_the_command_reference_has_every_command_and_every_option() -> None:
    sections = reference().split("\n## ")[1:]
    assert "<!-- commands -->" in (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert len(sections) == len(cli.VERBS)
    for verb, section in zip(cli.VERBS, sections, strict=True):
        assert section.startswith(f"worldmodel {verb.name} ")
        keys, groups = describe(verb.name.replace(" ", "_"), cli.schema_of(verb))
        for name in [*(key.name for key in keys), *(f"{group}=" for group in groups)]:
            assert f"`{name}`" in section, f"{verb.name}: {name}"


def test_every_command_is_used_in_the_documentation() -> None:
    used = "\n".join(piece for path in DOCUMENTS for piece in code(path))
    for verb in cli.VERBS:
        assert f"worldmodel {verb.name}" in used, verb.name


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.index(".webp)") < readme.index("make demo") < readme.index("make test") < readme.index("## ")
    assert len(readme.split()) <= README_WORDS


def test_the_moving_picture_is_small_and_says_what_is_generated() -> None:
    from PIL import Image

    path = ROOT / "docs" / "pick_can.webp"
    assert path.stat().st_size <= 2_000_000
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) > 20
        assert "Generated by a world model" in str(picture.getexif()[0x010E])


@each_document
def test_python_in_documents_is_sound(path: Path) -> None:
    """It compiles, and what it imports from worldmodel exists."""
    for language, text, _ in blocks(path):
        for node in ast.walk(ast.parse(text)) if language == "python" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("worldmodel"):
                module = importlib.import_module(node.module or "")
                assert not [name.name for name in node.names if not hasattr(module, name.name)], node.module
            elif isinstance(node, ast.Import):
                for name in node.names:
                    assert not name.name.startswith("worldmodel") or importlib.import_module(name.name)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in [ROOT / "README.md", *PAGES]
        if any(language == "python" and run for language, _, run in blocks(path))
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_python_in_pages_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for language, text, run in blocks(path):
        if language == "python" and run:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, str(path), "exec"), names)


@each_document
def test_paths_exist(path: Path) -> None:
    text = path.read_text()
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", FENCE.sub("", text))
    for name in linked:
        assert (path.parent / name).exists(), f"{path.name} links to {name}"
    named = [piece for piece in code(path) if re.fullmatch(r"\.?[\w.]+/[\w./-]*|[\w-]+\.(md|toml|lock|yaml)", piece)]
    tree = re.findall(r"^(\.?[\w]+/[\w./-]*)  +", "\n".join(code(path)), flags=re.MULTILINE)
    for name in {*named, *tree}:
        if not name.startswith((*MADE_BY_RUNNING, *MADE_BY_READERS)) and not re.fullmatch(
            r"utils.py|\w+/\w+-v\d+", name
        ):
            places = (ROOT / name, ROOT / "worldmodel" / name, path.parent / name)
            assert any(place.exists() for place in places), f"{path.name} names {name}"


def test_pictures_in_docs_are_used() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".webp", ".svg")]
    assert len(pictures) >= 4
    assert not [path.name for path in pictures if path.name not in text]


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_is_plain(path: Path) -> None:
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", path.read_text()))
    found = {
        word: hits for word, pattern in PRIVATE_WORDS.items() if (hits := re.findall(pattern, text, re.IGNORECASE))
    }
    assert not found, f"{path.name}: {found}"


def test_docstrings_get_plainer() -> None:
    found = 0
    for module in (ROOT / "worldmodel").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                found += sum(len(re.findall(pattern, text, re.IGNORECASE)) for pattern in PRIVATE_WORDS.values())
    assert found <= DOCSTRING_BUDGET, f"{found} private words in docstrings: see PRIVATE_WORDS"


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    loads = r"<(?:script|img|iframe|source|video|link)[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
    for page in pages:
        assert not [hit for hit in re.findall(loads, page.read_text()) if "canonical" not in hit], page.name
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\"' ]*(?:https?:)?//", sheet.read_text()), sheet.name


def test_the_ladder_is_the_one_that_is_enforced() -> None:
    enforced = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    assigned = [node for node in enforced.body if isinstance(node, ast.Assign)]
    rungs = next(ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "LADDER")
    block = (ROOT / "ARCHITECTURE.md").read_text().split("## The ladder")[1].split("```")[1]
    shown = [set(re.split(r"  +", line)[0].split(" · ")) for line in block.strip().splitlines()]
    assert shown[::-1] == [set(rung.split()) for rung in rungs]


def test_the_glossary_names_things_of_the_code() -> None:
    known: set[str] = set()
    for module in (ROOT / "worldmodel").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            known |= {value for value in (getattr(node, key, None) for key in ("name", "id", "arg", "attr")) if value}
    for heading in ("## The nouns", "## Glossary"):
        section = (ROOT / "ARCHITECTURE.md").read_text().split(heading)[1].split("\n## ")[0]
        names = [
            name
            for row in section.splitlines()
            if row.startswith("| `")
            for name in re.findall(r"`(\w+)`", row.split("|")[1])
        ]
        assert len(names) >= 10
        assert not [name for name in names if name not in known], "glossary names that the code does not have"
