"""Code and prose use the field's words: names, docstrings, comments, messages, templates and documents are searched.

What is left in a directory is a number here that may only shrink; a directory without one has none left.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("worldmodel", "research", "plugins", "scripts")
PROSE = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PROSE += [
    path for folder in ("docs", "checkpoints", "datasets", "envs", "configs", "eval", "plugins", "research")
    for path in sorted((ROOT / folder).rglob("*.md"))
    if "local" not in path.parts and "datasets/third_party" not in path.as_posix()
]  # fmt: skip

WORDS = {
    "report, state, condition on": r"\btold\b|\btells?\b|\bsaid\b",
    "request, given": r"\basked\b|\basks\b",
    "training stage": r"\b(?:\w+teen|one|two|three|four|five|several|last|first|of|the|its) goes?\b",
    "evaluation, protocol": r"\bexam(?:s|ine|ines|ined|ination|inations)?\b|\bsits? (?:our|the|an|one|this)\b",
    "zero-motion baseline": r"\bwho stays\b|\bstaying where it is\b",
    "copy-last-frame baseline": r"\blast (?:one |frame )?again\b|\bfirst (?:frame )?again\b",
    "command": r"\bverbs?\b",
    "fixed initial states": r"\bfrozen starts?\b",
    "policy latency": r"\bthinking\b|\bthinks\b",
    "observation, replanning": r"\b(?:a|each|every|first|last) look\b|\blooks? again\b|\blooking again\b",
    "in place": r"\bas they lie\b",
    "unspecified, none": r"\bnobody\b|\bwhoever\b",
    "objective": r"\b(?:arms and|arms that|ten arms|all arms|the arm:|an arm draws|two arms)",
    "predict": r"\bforesee[ns]?\b|\bforeseen\b",
    "imagined rollout": r"\bdream(?:s|t|ed|ing)?\b(?!-v0|-v)",
    "observes": r"\b(?:sees|hears|feels|ears)\b",
    "reference, baseline": r"\byards?\b|\byardsticks?\b|\bruler\b",
    "commands of the operator": r"\bwishes\b",
    "time steps, frames": r"\bmoments?\b",
    "simulator": r"\bvenues?\b",
}
"""What to write instead, and the private words, in any case."""

NAMES = """
Arm ARMS TokenStream Stream Memory Seen NoiseLaw NoiseDraw Moments Sought foresee look_back rehearsal stray Learner
Draws taught Candidate Exam examine Trial Venue Stage Moment Lockstep Course likeness Ruler chain sheet heeded
read_out staying copied collapse vitals yards kept Resampled sights signals happenings Face Asked Eyes Chance Decider
Wishes Hand Pilot Setting DreamTask experience spawned trust exam frozen verb
"""
"""Private names of classes, functions and modules that have one in the field's words."""

WORDS_LEFT: dict[str, int] = {}
NAMES_LEFT = """"""


def python_prose(path: Path) -> Iterator[str]:
    """Docstrings, comments, and every string of a file that holds more than one word."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield re.sub(r"`[^`\n]+`", "", node.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def document_prose(path: Path) -> Iterator[str]:
    """A document without its code; of a page, its text without scripts, styles and tags' names."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield re.sub(r"`[^`\n]+`|<style.*?</style>", "", text, flags=re.DOTALL)


def private(texts: Iterator[str]) -> list[str]:
    """Every private word, with what surrounds it."""
    return [
        " ".join(text[max(0, hit.start() - 25) : hit.end() + 25].split())
        for text in texts
        for pattern in WORDS.values()
        for hit in re.finditer(pattern, text, re.IGNORECASE)
    ]


def directory(path: Path) -> str:
    """``worldmodel/imagine``, ``research``, ``README.md``: what a number in `WORDS_LEFT` is about."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "worldmodel" and len(parts) > 2 else parts[0]


def sources() -> Iterator[tuple[Path, Iterator[str]]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, python_prose(path)
    for path in [*PROSE, *sorted((ROOT / "worldmodel").rglob("*.html")), *sorted((ROOT / "worldmodel").rglob("*.js"))]:
        yield path, document_prose(path)


def test_words_are_the_fields() -> None:
    found: dict[str, list[str]] = {}
    for path, texts in sources():
        found.setdefault(directory(path), []).extend(f"{path.relative_to(ROOT)}: {hit}" for hit in private(texts))
    over = {place: hits for place, hits in found.items() if len(hits) > WORDS_LEFT.get(place, 0)}
    for place, hits in over.items():
        print(f"{place}: {len(hits)}, allowed {WORDS_LEFT.get(place, 0)}", *hits, sep="\n  ")
    assert not over, {place: len(hits) for place, hits in over.items()}


def test_names_are_the_fields() -> None:
    found: Counter[str] = Counter()
    names = NAMES.split()
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            found[path.stem] += path.stem in names
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    found[node.name] += node.name in names
    left = {name for name, count in found.items() if count}
    assert left <= set(NAMES_LEFT.split()), left - set(NAMES_LEFT.split())


@pytest.mark.parametrize(
    ("code", "hits"),
    [
        ('"""The exam is told."""', 2),
        ("x = 1  # nobody knows", 1),
        ('raise ValueError(f"{x} was asked for")', 1),
        ('key = "dreams"', 0),
        ('"""`dreams` is a key, WorldModelEnv registers worldmodel/Dream-v0."""', 0),
    ],
)
def test_private_words_are_found(code: str, hits: int, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(code + "\n")
    assert len(private(python_prose(tmp_path / "code.py"))) == hits
