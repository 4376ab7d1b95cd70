"""Whole robomimic files to stores and back: ``data convert``'s two ways, with progress and resumption."""

import time
from pathlib import Path

import worldmodel
from worldmodel.damage import reading
from worldmodel.data.formats import hdf5
from worldmodel.data.formats.resumable import begin, finish, progress
from worldmodel.data.formats.robomimic import Reader, demos_of, head_of
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import ACTION, STATE


def to_store(source: Path, out: Path, actions: str, state: str) -> EpisodeStore:
    """An .hdf5 file as a sealed store. Resumes an interrupted one; leaves a finished one alone."""
    with reading(str(source), ValueError), hdf5.DemoFile(source) as file:
        names, parts = file.names, [part for part in state.strip("[]").split(",") if part]
        reader = Reader(file.head, file.demo(names[0]), parts, actions == "absolute")
        recipe = {"source": source.name, "bytes": source.stat().st_size, "episodes": len(names), "actions": actions}
        recipe["state"] = list(reader.parts)
        made = {"recipe": recipe, "command": f"worldmodel data convert {source} out={out}", "licence": "unknown"}
        made |= {"version": worldmodel.__version__, "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        writer = begin(out, "conversion", {**made, **reader.provenance(), "conversion": recipe})
        if writer is None:
            print(f"{out} is complete: {len(names)} episodes; nothing to do")
            return finish(out, reader.declared)
        with writer:
            done, left_out, later = len(writer.records), set[str](), set[str]()
            reader.remember(writer.records)
            for number in progress(range(done, len(names)), "episodes", len(names), done):
                demo = file.demo(names[number])
                left_out.update(demo.left_out)
                later.update(demo.arrays.keys() - reader.keys.keys())
                writer.append(reader.episode(demo, number))
            if left_out:
                writer.note(left_out=sorted(left_out))
                print(f"left out (no row per step, or no numbers): {', '.join(sorted(left_out))}")
            if later:
                writer.note(not_in_first=sorted(later))
                print(f"left out ({names[0]} has no such, and all must have the same): {', '.join(sorted(later))}")
            if not reader.ours:  # our own stores record it
                states = writer.read(STATE) if STATE in writer.spec else None
                writer.note(relative=reader.relative(writer.read(ACTION), states))
            writer.seal()
    return finish(out, reader.declared)


def from_store(source: Path, out: Path, compress: bool) -> None:
    """A store as an .hdf5 file, which appears under its name once it is whole. FileExistsError where there is one."""
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise ValueError(f"out={out}: expected a file name ending in .hdf5")
    if out.exists():
        raise FileExistsError(f"{out} already exists; choose another name or remove it")
    store = EpisodeStore.open(source)
    demos = progress(demos_of(store), "demonstrations", store.episodes)
    count = hdf5.write(out, head_of(store), demos, compress)
    print(f"{out}: {count} demonstrations, {store.steps} steps, {out.stat().st_size / 1e6:.1f} MB")
