"""The shape of the house: imports point down, content folders are no packages, files and functions stay readable."""

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "worldmodel"
LADDER = (
    "assets client config damage files lazy modalities schema",
    "legacy",
    "interrupt listen processes",
    "data devices model_card report settings",
    "sims tokens",
    "backbone envs",
    "flow",
    "model",
    "checkpoint objectives",
    "policies",
    "rollout",
    "imagine",
    "collect evaluate train",
    "demo doctor dream play quality serve",
    "cli",
)
RUNG = {room: rung for rung, rooms in enumerate(LADDER) for room in rooms.split()}
MODULES = sorted(PACKAGE.rglob("*.py"))
RESEARCH = sorted((ROOT / "research").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*/*/*.py"))
LEROBOT_ADAPTERS = (PACKAGE / "data" / "formats" / "lerobot_data.py", PACKAGE / "policies" / "lerobot_policy.py")
PUBLIC_LIMITS = {"file": 300, "function": 60, "parameters": 8}

OWNERS = functools.cache(importlib.metadata.packages_distributions)
"""Distributions by the modules they hold; reading them takes most of a second."""

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
each_file = pytest.mark.parametrize("path", MODULES + RESEARCH + PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it, ``import_module("...")`` included."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "worldmodel" and len(parts) > 1 and parts[1] in RUNG else None


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@each_module
def test_every_module_lives_in_a_room(path: Path) -> None:
    assert path == PACKAGE / "__init__.py" or room(module_name(path)), f"{path.name} has no rung on the ladder"


@each_module
def test_imports_point_down(path: Path) -> None:
    here = room(module_name(path))
    if here is None:
        return
    for there in filter(None, map(room, imported(path))):
        assert there == here or RUNG[there] < RUNG[here], f"{here} may not import {there}"


def test_the_ladder_test_sees_lazy_and_relative_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    module = PACKAGE / "data" / "invented.py"
    text = 'def f():\n    from ..evaluate import make\n    import_module("worldmodel.cli")\n'
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: text)
    assert {room(name) for name in imported(module)} == {"evaluate", "cli"}


def test_content_folders_are_not_packages() -> None:
    for name in ("envs", "datasets", "eval", "configs", "checkpoints", "tests"):
        assert not (ROOT / name / "__init__.py").exists(), f"{name}/__init__.py would shadow other packages"


def test_hugging_face_datasets_is_not_shadowed() -> None:
    try:
        importlib.metadata.version("datasets")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("Hugging Face datasets is not installed")
    spec = importlib.util.find_spec("datasets")
    assert spec is not None and spec.origin is not None
    assert ROOT / "datasets" not in Path(spec.origin).parents


@each_file
def test_files_and_functions_stay_readable(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= PUBLIC_LIMITS["file"], f"{lines} lines: split the file"
    for function in functions(path):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= PUBLIC_LIMITS["function"], f"{function.name} has {length} lines"
        count = len(function.args.args) + len(function.args.kwonlyargs)
        assert count <= PUBLIC_LIMITS["parameters"], f"{function.name} takes {count} parameters: make a record of them"


@each_file
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "no docstring"


@each_module
def test_configs_are_frozen_and_live_in_the_room_that_uses_them(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name.endswith("Config")):
            continue
        module = importlib.import_module(module_name(path))
        kind = getattr(module, node.name)
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen, f"{node.name} must be frozen"
        users = sum(node.name in other.read_text() for other in path.parent.rglob("*.py"))
        beside = any(node.name in ast.unparse(part) for part in tree.body if part is not node)
        assert beside or users > 1, f"nothing in its room uses {node.name}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_yaml_holds_values_only(path: Path) -> None:
    assert not re.search(r"_target_|\$\{|\beval\b\s*\(|worldmodel\.", path.read_text())


@each_module
def test_third_parties_are_declared(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=\[ ]", text)[0].lower() for text in project["dependencies"]}
    extras = project["optional-dependencies"]
    wanted = [
        text
        for extra in ("track", "repa", "lerobot", "robomimic", "gym", "play", "serve")
        for text in extras.get(extra, ())
    ]
    optional = {re.split(r"[<>=\[ ]", text)[0].lower() for text in wanted}
    optional |= {path.parent.name.lower() for path in PLUGINS}
    owners = OWNERS()
    for name in {name.split(".")[0] for name in imported(path)} - {"worldmodel", "__future__"}:
        if importlib.util.find_spec(name) and name not in owners:
            continue  # the standard library
        distributions = {owner.lower() for owner in owners.get(name, [name])}
        assert distributions & (declared | optional), f"{name} is not among the dependencies"


@each_module
def test_the_core_does_not_import_lerobot(path: Path) -> None:
    if path in LEROBOT_ADAPTERS:
        return
    assert not any(name.split(".")[0] in ("lerobot", "datasets") for name in imported(path))


def test_adapters_are_imported_only_when_asked_for() -> None:
    names = {module_name(path) for path in LEROBOT_ADAPTERS}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:  # the top level, not inside functions
            if isinstance(node, ast.ImportFrom) and path.parent.name != "formats":
                assert not {f"{node.module}.{alias.name}" for alias in node.names} & names and node.module not in names


def test_a_plugin_imports_the_core_and_never_the_other_way_round() -> None:
    assert PLUGINS
    for path in MODULES:
        plugged = [name for name in imported(path) if name.startswith("lerobot_policy_")]
        assert not plugged or path == PACKAGE / "policies" / "convert.py", path


def test_research_imports_the_core_and_never_the_other_way_round() -> None:
    assert RESEARCH
    for path in MODULES + PLUGINS:  # the command line only names its modules
        assert not any(name.split(".")[0] == "research" for name in imported(path)), path


def test_no_pickle() -> None:
    for path in MODULES + RESEARCH + PLUGINS:
        assert not any(name.split(".")[0] in ("pickle", "dill", "cloudpickle", "joblib") for name in imported(path)), (
            path
        )


def test_no_committed_file_names_a_registry_or_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    forbidden = (
        "py" + "pi.org",
        "python" + "hosted",
        "npm" + "js.org",
        "deb." + "debian",
        "/wo" + "rk/",
        "/ro" + "ot/",
    )
    text = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".lock", ".json", ".sh", ".html", ".xml", ".cfg", ""}
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in text and path.is_file():
            content = path.read_text(errors="ignore")
            for word in forbidden:
                assert word not in content, f"{name} names {word}"
