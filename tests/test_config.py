"""Configuration: files, groups and overrides end in typed frozen records; mistakes end in one line."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from worldmodel import legacy, settings
from worldmodel.config import UserError, closest, option
from worldmodel.settings import describe, load


@dataclass(frozen=True)
class NetConfig:
    width: int = option("width of a token", 8)
    rate: float = option("learning rate", 1e-3)
    kind: Literal["plain", "fancy"] = option("sort of net", "plain")


@dataclass(frozen=True)
class NamesConfig:
    names: tuple[str, ...] = option("whose", ())


@dataclass(frozen=True)
class RunConfig:
    data: str = option("folder of the store")
    steps: int = option("updates", 10)
    out: Path = option("where to", Path("outputs"))
    limit: int | None = option("stop early", None)
    note: str | None = option("remark", None)
    times: tuple[int, ...] = option("steps ahead", (1, 2))
    fast: bool = option("hurry", False)
    weights: dict[str, float] = field(default_factory=lambda: {"video": 1.0}, metadata={"help": "per modality"})
    net: NetConfig = field(default_factory=lambda: NetConfig(width=12))
    spare: NetConfig = field(default_factory=lambda: NetConfig(width=12))

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps={self.steps}: expected 0 or more")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configs folder of our own."""
    folder = tmp_path / "configs"
    for name, text in {
        "run.yaml": "defaults: [{net: small}, _self_, {optional experiment: null}]\nsteps: 20\n",
        "net/small.yaml": "width: 16\n",
        "net/large.yaml": "width: 64\nrate: 0.1\n",
        "experiment/big.yaml": "# @package _global_\ndefaults: [{override /net: large}]\nsteps: 99\nnet: {rate: 0.5}\n",
        "broken.yaml": "stepz: 3\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(settings, "asset", lambda relative: tmp_path / relative)
    return folder


def run(*overrides: str) -> RunConfig:
    return load("run", RunConfig, ["data=somewhere", *overrides])


def test_schema_then_files_then_overrides() -> None:
    assert run().steps == 20 and run().net == NetConfig(16, 1e-3)
    assert run("steps=3", "net.rate=0.2").steps == 3
    assert run("net.rate=0.2", "net.kind=fancy").net == NetConfig(16, 0.2, "fancy")
    assert run().spare == NetConfig(12)


def test_groups_and_experiments() -> None:
    assert run("net=large").net == NetConfig(64, 0.1)
    assert run("net=large", "net.width=5").net.width == 5
    assert run("experiment=big") == run("net=large", "net.rate=0.5", "steps=99")
    assert run("experiment=big", "steps=1").steps == 1


def test_no_file_is_needed() -> None:
    assert load("unheard_of", NetConfig, ["width=3"]) == NetConfig(3)


def test_values_have_the_types_of_the_schema() -> None:
    got = run("out=a/b", "times=[3,4]", "limit=5", "fast=true", "weights.video=2", "net.rate=1")
    assert (got.out, got.times, got.limit, got.fast) == (Path("a/b"), (3, 4), 5, True)
    assert got.weights == {"video": 2.0} and isinstance(got.net.rate, float)
    assert run("limit=null").limit is None and run("note=null").note is None
    with pytest.raises(FrozenInstanceError):
        got.steps = 1  # type: ignore[misc]


@pytest.mark.parametrize("text", ["a=b", "with (brackets), and commas", "7", "true", "x{y}", "100%", "a:b", ""])
def test_text_is_taken_as_it_stands(text: str) -> None:
    assert run(f"note={text}").note == text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepps=1", "did you mean 'steps'?"),
        ("net.widht=1", "did you mean 'net.width'?"),
        ("net=smal", "did you mean 'small'?"),
        ("experiment=bigg", "did you mean 'big'?"),
        ("steps=many", "steps=many: expected int"),
        ("steps=1.5", "steps=1.5: expected int"),
        ("steps=1,2", "steps=1,2: expected int"),
        ("fast=perhaps", "fast=perhaps: expected bool"),
        ("net.kind=fance", "net.kind=fance: expected plain|fancy; did you mean 'fancy'?"),
        ("times=3", "expected tuple[int, ...]"),
        ("steps", "options are written name=value"),
        ("--steps=1", "options are written name=value"),
        ("+steps=1", "options are written name=value"),
    ],
)
def test_mistakes_take_one_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        run(override)
    assert message in str(error.value) and override in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["names=a,b", "names=[a,b]"])
def test_texts_need_no_brackets(text: str) -> None:
    assert load("nothing", NamesConfig, [text]).names == ("a", "b")
    assert load("nothing", NamesConfig, ["names=a"]).names == ("a",)


def test_a_missing_value_is_named_with_its_meaning() -> None:
    with pytest.raises(UserError, match=r"data has no value: add data=\.\.\. \(folder of the store\)"):
        load("run", RunConfig)


def test_a_file_with_an_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match="configs for `broken`: stepz=3"):
        load("broken", RunConfig, ["data=x"])


def test_the_schema_has_the_last_word() -> None:
    with pytest.raises(ValueError, match="steps=-1: expected 0 or more"):
        run("steps=-1")


def test_describe_shows_values_in_force() -> None:
    keys, groups = describe("run", RunConfig, ["experiment=big"])
    shown = {key.name: key for key in keys}
    assert shown["steps"].value == 99 and shown["net.width"].value == 64
    assert shown["steps"].help == "updates" and shown["steps"].type == "int"
    assert groups == {"net": ["large", "small"], "experiment": ["big"]}


def test_closest_lists_what_is_known_when_nothing_is_near() -> None:
    assert closest("zzz", ["alpha", "beta"]) == "known: alpha, beta"


def test_old_options_of_commands() -> None:
    for command in ("evaluate", "demo", "play"):
        assert legacy.override(command, "execute=4") == "n_action_steps=4"


def test_old_names_keep_working_and_give_the_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"updates": "steps", "network": "net", "network.lr": "net.rate", "kind=best": "net.kind=fancy"}
    monkeypatch.setattr(legacy, "RENAMED", {"run": table})
    monkeypatch.setattr(legacy, "_announced", set())
    run = load("run", RunConfig, ["data=x", "updates=7", "network.lr=0.25", "network.width=24", "kind=best"])
    assert (run.steps, run.net) == (7, NetConfig(24, 0.25, "fancy"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "worldmodel: updates is now steps",
        "worldmodel: network.lr is now net.rate",
        "worldmodel: network.width is now net.width",
        "worldmodel: kind=best is now net.kind=fancy",
    ]
    load("run", RunConfig, ["data=x", "updates=8"])
    assert capsys.readouterr().err == "", "said once"
    with pytest.raises(UserError, match="`other` has no option 'updates'"):
        load("other", NetConfig, ["updates=7"])


def test_what_older_versions_saved_is_read_with_todays_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        legacy, "RENAMED", {"run": {"network": "net", "network.lr": "net.rate", "kind=best": "kind=fancy"}}
    )
    old = {"steps": 3, "network": {"lr": 0.5, "width": 8, "sizes": [1, 2]}, "kind": "best", "gone": None, "empty": {}}
    new = {"steps": 3, "net": {"rate": 0.5, "width": 8, "sizes": [1, 2]}, "kind": "fancy", "gone": None, "empty": {}}
    assert legacy.saved("run", old) == new and legacy.saved("other", old) == old


def test_renamed_options_of_data_view_and_bench_work() -> None:
    assert legacy.override("data_view", "moments=5") == "frames=5"
    assert legacy.override("bench", "parts=[arms]") == "parts=[objectives]"
