"""Prose is held to the code: commands in it parse, paths in it exist, and the glossary's names are real."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from worldmodel import cli
from worldmodel.config import describe

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS.append(ROOT / "plugins" / "lerobot_policy_worldmodel" / "README.md")
MADE_BY_RUNNING = ("outputs/", "datasets/local/", "dist/", "worldmodel/_assets/")

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code(path: Path) -> list[str]:
    """Every line of a code block and every inline piece of code."""
    text = path.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()] + inline


def commands() -> list[str]:
    found = {piece for path in DOCUMENTS for piece in code(path) if piece.startswith(("worldmodel ", "make "))}
    return sorted(piece for piece in found if "..." not in piece)


@pytest.mark.parametrize("command", commands())
def test_commands_are_valid(command: str) -> None:
    program, *words = shlex.split(command.split("#")[0])
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), f"no target {words[0]}"
    else:
        verb, rest = cli.find_verb([word for word in words if not word.startswith("-")])
        overrides = [f"{verb.bare}={word}" if "=" not in word else word for word in rest]
        describe(verb.name.replace(" ", "_"), getattr(importlib.import_module(verb.module), verb.schema), overrides)


def test_every_verb_and_every_target_is_told() -> None:
    readme = (ROOT / "README.md").read_text()
    for verb in cli.VERBS:
        assert f"`worldmodel {verb.name}`" in readme, verb.name
    assert readme.index("make demo") < readme.index("make test") < readme.index("## ")


@each_document
def test_paths_exist(path: Path) -> None:
    text = path.read_text()
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    named = [piece for piece in code(path) if re.fullmatch(r"\.?[\w.]+/[\w./-]*|[\w-]+\.(md|toml|lock|yaml)", piece)]
    tree = re.findall(r"^(\.?[\w]+/[\w./-]*)  +", "\n".join(code(path)), flags=re.MULTILINE)
    for name in {*linked, *named, *tree}:
        if not name.startswith(MADE_BY_RUNNING) and name not in ("utils.py",):
            places = (ROOT / name, ROOT / "worldmodel" / name, path.parent / name)
            assert any(place.exists() for place in places), f"{path.name} names {name}"


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
