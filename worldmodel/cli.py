"""The console command: ``worldmodel COMMAND option=value ...``. A command's module is imported only when it runs."""

import importlib
import io
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodel import legacy
from worldmodel.config import UserError, closest

BAD_INPUT, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Command:
    """One command: the function ``call`` of ``module``, which takes the frozen dataclass ``schema``.

    ``schema`` is a name in ``module``, or "module:name" of a file that loads neither torch nor a simulator.
    """

    name: str
    module: str
    schema: str
    does: str
    examples: tuple[str, ...] = ()
    bare: str = ""  # the option that an argument without '=' sets

    @property
    def call(self) -> str:
        return self.name.split()[-1]


COMMANDS = (
    Command("demo", "worldmodel.demo.command", "worldmodel.demo.config:DemoConfig",
        "Roll a checkpoint out closed loop and write a page with its videos and what it imagined.",
        ("worldmodel demo", "worldmodel demo task=lift_can episodes=3 out=outputs/demo")),
    Command("collect", "worldmodel.collect", "CollectConfig",
        "Record episodes of the scripted expert, or scripted play, into an EpisodeStore. Run it again to resume.",
        ("worldmodel collect task=place_can episodes=200 seed=0 out=datasets/local/place_can",
         "worldmodel collect behaviour=mixed segmentation=true episodes=200 out=datasets/local/mixed",
         "worldmodel collect 'task=gym:gym_pusht/PushT-v0?obs_type=pixels_agent_pos' out=datasets/local/pusht")),
    Command("encode", "research.encode.command", "research.encode.config:EncodeConfig",
        "Compute a pretrained encoder's features of a store's frames, for objective.name=repa. Run it again to resume.",
        ("worldmodel encode data=datasets/local/place_can encoder=dinov2_s out=datasets/local/place_can.dinov2_s",)),
    Command("train", "worldmodel.train", "TrainConfig",
        "Train a world model on an EpisodeStore. Run it again to resume from the last checkpoint.",
        ("worldmodel train experiment=place_can data=datasets/local/place_can out=outputs/place_can",
         "worldmodel train data=lerobot:OWNER/NAME size=96 validation.every=0 out=outputs/theirs",
         "worldmodel train model=tiny data=datasets/local/place_can out=outputs/try")),
    Command("starts", "worldmodel.evaluate.starts", "StartsConfig",
        "Write fixed initial states (full simulator state and a hash) into one file.",
        ("worldmodel starts task=place_can episodes=200 seed=7 out=outputs/starts.npz",)),
    Command("evaluate", "worldmodel.evaluate.evaluate", "worldmodel.evaluate.config:EvaluateConfig",
        "Evaluate a checkpoint closed loop on fixed initial states; write report.json, episodes.jsonl and index.html.",
        ("worldmodel evaluate checkpoint=shipped task=place_can episodes=200 starts=test out=outputs/test",
         "worldmodel evaluate checkpoint=outputs/place_can task=place_can perturb=light out=outputs/light",
         "worldmodel evaluate checkpoint=outputs/robosuite_can task=robosuite:PickPlaceCan batch=4 out=outputs/can")),
    Command("probe", "research.probe", "ProbeConfig",
        "Linear probes of a checkpoint's frozen features, by layer and noise level: can, gripper, grasp, phase.",
        ("worldmodel probe checkpoint=shipped data=datasets/local/place_can out=outputs/probe",
         "worldmodel probe checkpoint=outputs/place_can data=datasets/local/place_can out=outputs/probe quick=true")),
    Command("imagine", "worldmodel.imagine.command", "worldmodel.imagine.config:ImagineConfig",
        "Predict with a checkpoint in one of its modes from recorded frames, or roll it out: pictures and errors.",
        ("worldmodel imagine mode=forward data=datasets/local/place_can",
         "worldmodel imagine mode=inverse checkpoint=outputs/place_can data=datasets/local/place_can show=6",
         "worldmodel imagine mode=rollout checkpoint=outputs/everything data=datasets/local/place_can length=1000")),
    Command("play", "worldmodel.play.command", "PlayConfig",
        "Drive the gripper in the imagined rollout, beside MuJoCo under the same actions: a page on 127.0.0.1.",
        ("worldmodel play", "worldmodel play task=lift_can data=datasets/local/lift_can port=0")),
    Command("serve", "worldmodel.serve.command", "ServeConfig",
        "Serve a policy to robots over a WebSocket, in openpi's protocol; the first line printed is its address.",
        ("worldmodel serve checkpoint=shipped task=place_can port=8000",
         "worldmodel serve checkpoint=outputs/place_can port=0 record=outputs/served")),
    Command("score", "worldmodel.imagine.score.command", "worldmodel.imagine.config:ScoreConfig",
        "Compare a checkpoint's imagined frames and actions with recordings, open loop: figures, and a page.",
        ("worldmodel score checkpoint=shipped data=datasets/local/mixed out=outputs/score",
         "worldmodel score checkpoint=outputs/theirs data=lerobot:OWNER/NAME holdout=0.02 out=outputs/theirs")),
    Command("data info", "worldmodel.data.inspect", "InspectConfig",
        "Show what an EpisodeStore holds and where it came from.",
        ("worldmodel data info datasets/local/place_can", "worldmodel data info lerobot:OWNER/NAME"), "store"),
    Command("data verify", "worldmodel.data.inspect", "InspectConfig",
        "Check every checksum of an EpisodeStore; name the episode and array that is damaged.",
        ("worldmodel data verify datasets/local/place_can",), "store"),
    Command("data health", "worldmodel.quality.health", "HealthConfig",
        "Check an EpisodeStore's quality: idle, repeated and dark frames, jumps, camera timing, train/test leakage.",
        ("worldmodel data health datasets/local/place_can out=outputs/health",
         "worldmodel data health datasets/local/place_can against=datasets/local/held_out"), "store"),
    Command("data view", "worldmodel.quality.view", "ViewConfig",
        "Show episodes of an EpisodeStore: one HTML file with strips and plots, and a recording for the Rerun viewer.",
        ("worldmodel data view datasets/local/place_can out=outputs/view",
         "worldmodel data view datasets/local/place_can episodes=0,7 rerun=true"), "store"),
    Command("data card", "worldmodel.quality.card", "CardConfig",
        "Write the card of an EpisodeStore: licence, source, consent, how it was collected, and its health.",
        ("worldmodel data card datasets/local/place_can",
         "worldmodel data card datasets/local/mine licence=CC-BY-4.0 source=... consent=..."), "store"),
    Command("lineage", "worldmodel.quality.lineage", "LineageConfig",
        "Show which data, code and simulator made a checkpoint's weights, and what is unknown.",
        ("worldmodel lineage checkpoint=shipped", "worldmodel lineage checkpoint=outputs/place_can json=true")),
    Command("data convert", "worldmodel.data.formats.convert", "ConvertConfig",
        "Convert robomimic HDF5 files and LeRobot datasets to stores and back.",
        ("worldmodel data convert can.hdf5 out=datasets/local/can",
         "worldmodel data convert datasets/local/can out=can.hdf5 to=robomimic",
         "worldmodel data convert datasets/local/can out=can_lerobot to=lerobot frames=video",
         "worldmodel data convert lerobot:OWNER/NAME out=datasets/local/theirs"), "source"),
    Command("policy convert", "worldmodel.policies.convert", "ConvertPolicyConfig",
        "Convert checkpoints to LeRobot's policy folders and back, tensors bit for bit.",
        ("worldmodel policy convert shipped out=outputs/shipped_lerobot",
         "worldmodel policy convert outputs/lerobot_train out=outputs/from_lerobot"), "source"),
    Command("export", "worldmodel.policies.export", "ExportConfig",
        "Write a checkpoint as one file that acts without this package: ONNX, or a program of torch.export.",
        ("worldmodel export checkpoint=shipped to=onnx out=outputs/act.onnx",
         "worldmodel export checkpoint=outputs/place_can to=torch out=outputs/act.pt2")),
    Command("env install", "worldmodel.sims.remote.install", "InstallConfig",
        "Make a pinned environment of its own for a simulator with conflicting requirements: robosuite, metaworld.",
        ("worldmodel env install robosuite", "worldmodel env install metaworld"), "name"),
    Command("doctor", "worldmodel.doctor", "DoctorConfig",
        "Check this machine: versions, rendering, cores, memory, and what will be slow and why.",
        ("worldmodel doctor", "worldmodel doctor json=true")),
    Command("study selfflow", "research.study", "StudyConfig",
        "Compare training objectives over seeds and data sizes; write rows and a report. Run it again to resume.",
        ("worldmodel study selfflow study=smoke data=datasets/local/place_can",
         "worldmodel study selfflow plan=place_can report_only=true")),
    Command("bench", "research.bench.command", "research.bench.config:BenchConfig",
        "Measure the speed of acting, training and simulation on this machine; write bench.json.",
        ("worldmodel bench out=outputs/bench", "worldmodel bench peers out=outputs/bench"), "parts"),
)  # fmt: skip


class Interrupt:
    """Ctrl-C before a command listens for it. ``asked`` stays: what a library swallows while it loads is not lost."""

    asked = False

    def __call__(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 2 bad input (one line on stderr), 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # of a terminal that knows ASCII only
    try:
        if "WORLDMODEL_PARENT" in os.environ:
            importlib.import_module("worldmodel.processes").end_with_parent()
        if arguments is None:
            signal.signal(signal.SIGINT, Interrupt())
        return _run(words)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # `worldmodel --help | head` is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, ValueError, OSError) as error:  # any other is a defect, whose traceback is wanted
        if os.environ.get("WORLDMODEL_TRACE"):
            raise
        print(getattr(error, "trace", ""), end="", file=sys.stderr)  # of a defect in a process of ours
        return _complain(str(error) or type(error).__name__, BAD_INPUT)


def _run(words: list[str]) -> int:
    flags, rest = [word for word in words if word.startswith("-")], [w for w in words if not w.startswith("-")]
    first = rest[0] if rest else ""
    if first == "help":
        return _run([*rest[1:], "--help"])
    if "--version" in flags or "-V" in flags or (first == "version" and not rest[1:]):
        print(f"worldmodel {importlib.import_module('worldmodel').__version__}")
        return 0
    if not rest:
        if not flags or flags[0] in ("-h", "--help"):
            print(overview())
            return 0
        return _complain(f"{flags[0]}: no such option; try `worldmodel --help`", BAD_INPUT)
    command, rest = find_command(rest)
    if unknown := [flag for flag in flags if flag not in ("-h", "--help")]:
        hint = f"{as_option(unknown[0], words)}; try `worldmodel {command.name} --help`"
        return _complain(f"{unknown[0]}: options are written name=value, {hint}", BAD_INPUT)
    overrides = [f"{command.bare}={word}" if command.bare and "=" not in word else word for word in rest]
    schema = schema_of(command)
    if "task" in schema.__dataclass_fields__:  # env=gym:ID says the same
        overrides = [f"task={word.removeprefix('env=')}" if word.startswith("env=") else word for word in overrides]
    if flags:
        print(explain(command, schema, overrides))
        return 0
    settings = importlib.import_module("worldmodel.settings")
    if first == "print":
        print(settings.composed(command.name.replace(" ", "_"), schema, overrides), end="")
        return 0
    config = settings.load(command.name.replace(" ", "_"), schema, overrides)
    call: Callable[[Any], int | None] = getattr(module_of(command, command.module), command.call)
    if getattr(signal.getsignal(signal.SIGINT), "asked", False):
        raise KeyboardInterrupt
    return int(call(config) or 0)


def schema_of(command: Command) -> Any:
    module, _, name = command.schema.rpartition(":")
    return getattr(module_of(command, module or command.module), name)


def module_of(command: Command, name: str) -> Any:
    """A command's module; UserError for one of ``research/`` outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if name.startswith("research."):
        if not (root / "research" / "__init__.py").is_file():
            where = "belongs to the folder research/ of a checkout, which is not installed"
            raise UserError(f"{command.name}: {where}; clone the repository and run it there")
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
    return importlib.import_module(name)


def overview() -> str:
    """What ``worldmodel`` alone prints: all commands."""
    rows = "\n".join(f"  {command.name:12} {command.does}" for command in COMMANDS)
    hint = "`worldmodel COMMAND --help` lists the options of a command, with examples; `worldmodel print COMMAND ...`\n"
    hint += "prints the values that it would run with, as YAML."
    return f"worldmodel COMMAND [option=value ...]\n\n{rows}\n\n{hint}"


def explain(command: Command, schema: type, overrides: list[str]) -> str:
    """What ``worldmodel COMMAND --help`` prints: its options with the values in force, and examples."""
    describe = importlib.import_module("worldmodel.settings").describe
    options, groups = describe(command.name.replace(" ", "_"), schema, overrides)
    rows = [(f"{one.name}={_shown(one.value)}", f"{one.type}: {one.help.replace('``', '')}") for one in options]
    width = min(44, max((len(f"{one.name}={_shown(one.value)}") for one in options if len(one.name) < 30), default=0))
    bare = f"{command.bare.upper()} " if command.bare else ""
    lines = [f"worldmodel {command.name} {bare}[option=value ...]", "", command.does, ""]
    lines += ["options (value in force, type, meaning; ... where one is required):"]
    lines += [f"  {assigned:{width}}  {meaning}" for assigned, meaning in rows]
    if groups:
        lines += ["", "groups of options, chosen by name:"]
        lines += [f"  {name}={'|'.join(choices)}" for name, choices in groups.items()]
    return "\n".join([*lines, "", "examples:", textwrap.indent("\n".join(command.examples), "  ")])


def find_command(words: list[str]) -> tuple[Command, list[str]]:
    """The command that a command line names (one word or two), and the words after it; "print" may come before it.

    Raises UserError where there is no such command.
    """
    words = words[1:] if words[0] == "print" and words[1:] else words
    named = {command.name: command for command in COMMANDS}
    for count in (2, 1):
        if (name := legacy.command(" ".join(words[:count]))) in named:
            return named[name], words[count:]
    families = {command.name.split()[0] for command in COMMANDS if " " in command.name}
    name = " ".join(words[:2]) if words[0] in families else words[0]
    raise UserError(f"{name}: no such command; {closest(name, named)}")


def as_option(flag: str, words: list[str]) -> str:
    """How ``--episodes 3`` of a command line is written here: ``here episodes=3``."""
    name, equals, value = flag.lstrip("-").partition("=")
    after = words[words.index(flag) + 1 :][:1]
    alone = not after or after[0].startswith("-") or "=" in after[0]
    return f"here {name.replace('-', '_')}={value if equals else 'true' if alone else after[0]}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_shown, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "..." if value == "???" else str(value)


def _complain(message: str, code: int) -> int:
    print("worldmodel: " + " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
