"""Laws that keep the house small: no import cycles, one class per name, budgets for what an import pulls in.

Each number or list here is a ratchet: it may shrink, never grow.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, RESEARCH = ROOT / "worldmodel", ROOT / "research"
FILES = sorted(PACKAGE.rglob("*.py"))

KNOWN_CYCLES: set[frozenset[str]] = set()
KNOWN_TWICE: set[str] = set()
LINES = 24_300
"""Lines of Python in the package."""
IMPORT_LINES = {"worldmodel.policies.model_policy": 2_000, "worldmodel.train.loop": 4_000}
"""Lines of ours that an import pulls in."""
NAME_AUDIO = 6
"""Files that name sound or a microphone: a modality is one file."""


def module_file(dotted: str) -> Path | None:
    """The file of one of our modules, None for anything else."""
    path = ROOT / Path(*dotted.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file() and (file.is_relative_to(PACKAGE) or file.is_relative_to(RESEARCH)):
            return file
    return None


def imports(path: Path) -> set[Path]:
    """Our files that a file imports, anywhere in it, under TYPE_CHECKING too."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {file for alias in node.names if (file := module_file(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                file = module_file(f"{node.module}.{alias.name}") or module_file(node.module)
                found |= {file} if file else set()
    return found - {path}


def cycles(graph: dict[Path, set[Path]]) -> list[frozenset[str]]:
    """Groups of files that reach one another. An ``__init__`` that only gathers its room's names counts as any file."""
    reach: dict[Path, set[Path]] = {}
    for start in graph:
        seen, todo = set[Path](), [start]
        while todo:
            for there in graph[todo.pop()] - seen:
                seen.add(there)
                todo.append(there)
        reach[start] = seen
    groups = {frozenset({a} | {b for b in reach[a] if a in reach[b]}) for a in graph if a in reach[a]}
    return [
        frozenset(path.relative_to(ROOT).as_posix().removeprefix("worldmodel/") for path in group) for group in groups
    ]


def test_no_file_imports_itself_over_others() -> None:
    found = set(cycles({path: imports(path) for path in (*FILES, *RESEARCH.rglob("*.py"))}))
    assert found <= KNOWN_CYCLES, f"new import cycles: {[sorted(group) for group in found - KNOWN_CYCLES]}"


def test_a_class_name_means_one_thing() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(str(path.relative_to(PACKAGE)))
    twice = {name: files for name, files in where.items() if len(files) > 1}
    assert set(twice) <= KNOWN_TWICE, {name: files for name, files in twice.items() if name not in KNOWN_TWICE}


def test_the_package_does_not_grow() -> None:
    assert sum(path.read_text().count("\n") for path in FILES) <= LINES


@pytest.mark.parametrize("module", IMPORT_LINES)
def test_an_import_pulls_in_little_of_ours(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'worldmodel' and m.__file__))"
    )
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = {file: Path(file).read_text().count("\n") for file in listed.stdout.split()}
    assert sum(lines.values()) <= IMPORT_LINES[module], sorted(lines.items(), key=lambda item: -item[1])[:12]


def test_the_env_made_of_a_model_needs_neither_commands_nor_plots() -> None:
    code = "import sys, worldmodel.imagine; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in (
        "matplotlib",
        "worldmodel.report",
        "worldmodel.evaluate",
        "worldmodel.imagine.command",
        "torchmetrics",
    ):
        assert name not in loaded.split(), name


def test_few_files_name_sound() -> None:
    naming = [path for path in FILES if any(word in path.read_text().lower() for word in ("audio", "microphone"))]
    assert len(naming) <= NAME_AUDIO, naming
