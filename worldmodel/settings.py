"""Fills the frozen dataclasses that declare a command's options, from YAML and the command line.

``configs/<command>.yaml`` holds values and may choose from groups, which are folders beside it:
``defaults: [{model: tiny}, _self_, {optional experiment: null}]``. Hydra composes the files.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from worldmodel import legacy
from worldmodel.assets import asset
from worldmodel.config import MISSING, UserError, closest, leaves
from worldmodel.files import write_file

HOME = re.compile(r"(?<![^,:\[])~(?=/|$)")
"""The home folder at the beginning of a path: shells other than bash leave it to us in ``out=~/x``."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command: dotted name, type, value in force ("???" where one is required), meaning."""

    name: str
    type: str
    value: Any
    help: str


def load[Schema](command: str, schema: type[Schema], overrides: Sequence[str] = ()) -> Schema:
    """Build ``schema`` from its defaults, then ``configs/<command>.yaml``, then ``overrides`` ("name=value").

    Raises UserError, one line, for an unknown option or choice, a wrong type or a missing value.
    """
    node = _compose(command, schema, overrides)
    if missing := sorted(OmegaConf.missing_keys(node)):
        helps = {option.name: option.help for option in _options(schema, node)}
        raise UserError("; ".join(f"{name} has no value: add {name}=... ({helps.get(name, '')})" for name in missing))
    return _build(schema, node)


def from_options[Schema](command: str, schema: type[Schema], options: Mapping[str, Any]) -> Schema:
    """As `load`, from Python values by name; sections are dictionaries. Raises UserError as it does."""
    return load(command, schema, [f"{name}={_text(value)}" for name, value in leaves(options)])


def composed(command: str, schema: type, overrides: Sequence[str] = ()) -> str:
    """The values that a command would run with, as YAML; ``???`` where one is required and missing."""
    return OmegaConf.to_yaml(_compose(command, schema, overrides))


def keep(folder: Path, config: Any) -> None:
    """Write the options of a run into its folder, as ``config.yaml``."""
    write_file(folder / "config.yaml", yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))


def describe(command: str, schema: type, overrides: Sequence[str] = ()) -> tuple[list[Option], dict[str, list[str]]]:
    """Every option of a command, and the choices of each group."""
    choices = {group: _choices(group) for group in _groups(command)}
    return list(_options(schema, _compose(command, schema, overrides))), choices


def _compose(command: str, schema: type, overrides: Sequence[str]) -> Any:
    groups = _groups(command)
    known = {option.name: option.type for option in _options(schema, None)}
    sections = {name.rsplit(".", n)[0] for name in known for n in range(1, name.count(".") + 1)}
    choices, values = [], []
    for text in (legacy.override(command, text) for text in overrides):
        name, value = _split(text, known)
        if name in groups and isinstance(value, str):
            if value not in _choices(name):
                raise UserError(f"{text}: no such {name}; {closest(value, _choices(name))}")
            choices.append(f"{name}={value}")
        elif name in sections or any((name + ".").startswith(option + ".") for option in known):
            values.append((name, value, text))
        else:
            raise UserError(f"{text}: `{command}` has no option '{name}'; {closest(name, [*known, *groups])}")
    node = OmegaConf.structured(_typed(schema))
    for name, value in leaves(legacy.saved(command, _from_files(command, choices))):
        _put(node, name, value, f"configs for `{command}`: {name}={value}")
    for name, value, text in values:
        if "${" in str(value):  # OmegaConf would look up another option, a file's value or an environment variable
            raise UserError(f"{text}: values are taken as they stand, and may not hold '${{'")
        _put(node, name, value, text)
    return node


def _from_files(command: str, choices: list[str]) -> Any:
    if not asset("configs").joinpath(f"{command}.yaml").is_file():
        return {}
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(asset("configs").resolve()), version_base="1.3"):
            return OmegaConf.to_container(compose(command, overrides=choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"configs for `{command}`: {_one_line(error)}") from error


def _split(text: str, known: Mapping[str, str]) -> tuple[str, Any]:
    """Name and value of one "name=value". Text and paths are taken as they stand; the rest has Hydra's grammar.

    Several texts are also taken without brackets, separated by commas.
    """
    name, equals, raw = text.partition("=")
    if not equals or not name or name.startswith(("-", "+", "~")):
        raise UserError(f"{text}: options are written name=value; see --help")
    if known.get(name, "").split(" | ")[0] in ("str", "Path"):
        return name, None if raw == "null" else HOME.sub(lambda _: str(Path.home()), raw)
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        return name, raw
    value = raw if override.is_sweep_override() else override.value()
    return name, raw.split(",") if known.get(name, "").startswith("tuple[str") and isinstance(value, str) else value


def _text(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _put(node: Any, name: str, value: Any, text: str) -> None:
    try:
        OmegaConf.update(node, name, value, merge=True, force_add=False)
    except OmegaConfBaseException as error:
        expected = next((o.type for o in _options(OmegaConf.get_type(node), None) if o.name == name), "")
        raise UserError(f"{text}: {f'expected {expected}' if expected else _one_line(error)}") from error


def _options(schema: Any, node: Any, prefix: str = "") -> Iterator[Option]:
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind, name = hints[field.name], prefix + field.name
        inside = None if node is None else OmegaConf.select(node, field.name, throw_on_missing=False)
        if dataclasses.is_dataclass(kind):
            yield from _options(kind, inside, name + ".")
        else:
            plain = OmegaConf.to_container(inside) if OmegaConf.is_config(inside) else inside
            plain = MISSING if node is not None and OmegaConf.is_missing(node, field.name) else plain
            yield Option(name, _spelled(kind), plain, field.metadata.get("help", ""))


def _spelled(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("pathlib.", "")


def _typed(schema: Any, given: Any = None) -> type:
    """A double of the schema for OmegaConf, with its defaults or the values ``given``: fillable, str for a Literal."""
    hints, fields = get_type_hints(schema), []
    for field in dataclasses.fields(schema):
        kind = hints[field.name]
        value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = value if given is None else getattr(given, field.name)
        if dataclasses.is_dataclass(kind):
            kind = _typed(kind, None if value is dataclasses.MISSING else value)
            fields.append((field.name, kind, dataclasses.field(default_factory=kind)))
        else:
            value = MISSING if value is dataclasses.MISSING else value
            fields.append((field.name, _plain(kind), dataclasses.field(default_factory=partial(copy, value))))
    return dataclasses.make_dataclass(schema.__name__, fields)


def _plain(kind: Any) -> Any:
    if get_origin(kind) is Literal:
        return type(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(_plain(part) for part in get_args(kind))]  # noqa: UP007  (parts are known only now)
    return kind


def _build(schema: Any, node: Any, prefix: str = "") -> Any:
    hints, values = get_type_hints(schema), {}
    for field in dataclasses.fields(schema):
        value, kind, name = node[field.name], hints[field.name], prefix + field.name
        if value == "" and field.default != "" and kind is str:
            raise UserError(f"{name}= has no value; expected {field.metadata.get('help', 'text')}")
        if isinstance(value, int | float) and not -(2**63) <= value < 2**63:  # nor NaN
            raise UserError(f"{name}={value}: expected a number below 2**63")
        if dataclasses.is_dataclass(kind):
            value = _build(kind, value, name + ".")
        elif isinstance(value, ListConfig):
            value = tuple(OmegaConf.to_object(value))  # type: ignore[arg-type]  # records hold tuples, not lists
        elif isinstance(value, DictConfig):
            value = OmegaConf.to_object(value)
        elif get_origin(kind) is Literal and value not in get_args(kind):
            raise UserError(
                f"{name}={value}: expected {_spelled(kind)}; {closest(str(value), map(str, get_args(kind)))}"
            )
        values[field.name] = value
    return schema(**values)


def _groups(command: str) -> list[str]:
    path = asset("configs") / f"{command}.yaml"
    entries = (yaml.safe_load(path.read_text()) or {}).get("defaults", []) if path.is_file() else []
    return [next(iter(entry)).removeprefix("optional ") for entry in entries if isinstance(entry, dict)]


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in asset("configs").joinpath(group).glob("*.yaml"))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
