"""The command reference in Markdown, written from the commands' own schemas, so that it cannot grow stale.

`python scripts/reference.py` prints it; scripts/docs_site.py puts it into docs/reference/commands.md.
"""

from typing import Any

from worldmodel import cli
from worldmodel.settings import Option, describe


def reference() -> str:
    """Every command with what it does, its examples and a table of its options, defaults being those in force."""
    rows = "\n".join(f"| [`worldmodel {c.name}`](#{_anchor(c.name)}) | {c.does} |" for c in cli.COMMANDS)
    return "\n\n".join([f"| command | what it does |\n| --- | --- |\n{rows}", *map(section, cli.COMMANDS)])


def section(command: Any) -> str:
    """One command of `worldmodel.cli.COMMANDS` as a section of its own."""
    schema = cli.schema_of(command)
    options, groups = describe(command.name.replace(" ", "_"), schema)
    parts = [f"## worldmodel {command.name} {{ #{_anchor(command.name)} }}", command.does]
    if command.bare:
        parts.append(f"A word without `=` sets `{command.bare}`.")
    parts.append("```\n" + "\n".join(command.examples) + "\n```")
    parts += [f"`{name}=` takes one of {_listed(choices)}." for name, choices in groups.items()]
    rows = "\n".join(map(_row, options))
    return "\n\n".join([*parts, f"| option | default | type | meaning |\n| --- | --- | --- | --- |\n{rows}"])


def _row(option: Option) -> str:
    value = "required" if option.value == "???" else f"`{_spelled(option.value)}`"
    meaning = option.help.replace("``", "`").replace("|", "\\|")
    return f"| `{option.name}` | {value} | `{option.type}` | {meaning} |"


def _spelled(value: Any) -> str:
    """A value as one writes it on the command line."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) or "''"


def _listed(choices: list[str]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices)


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    print(reference())
