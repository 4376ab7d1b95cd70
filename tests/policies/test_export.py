"""Exported files act as the model does, without this package, and say what they take and give."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import CONFIG, small_model

from worldmodel import checkpoint, cli
from worldmodel.model import Given
from worldmodel.policies.fast import example
from worldmodel.policies.model_policy import WorldModel
from worldmodel.schema import ARM

ROOT = Path(__file__).resolve().parents[2]

ALONE = {
    "onnx": """
        for name in ("torch", "worldmodel"): sys.modules[name] = None
        import onnxruntime
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map["worldmodel"]
        actions = session.run(None, {each.name: given[each.name] for each in session.get_inputs()})[0]
    """,
    "torch": """
        for name in ("worldmodel", "einops", "jaxtyping"): sys.modules[name] = None
        import torch
        facts = {"worldmodel": ""}
        program = torch.export.load(open(file, "rb"), extra_files=facts).module()
        facts = facts["worldmodel"]
        actions = program(*(torch.as_tensor(value) for value in given.values())).numpy()
    """,
}


def alone(kind: str, file: Path, given: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, object]]:
    """Actions and facts of an exported file in a process that has not got this package."""
    folder = file.parent
    np.savez(folder / "given.npz", **given)
    lines = ["import sys, numpy as np", "file, folder = sys.argv[1:]", 'given = dict(np.load(folder + "/given.npz"))']
    lines += [line.strip() for line in ALONE[kind].splitlines()]
    lines += ['np.save(folder + "/actions.npy", actions)', 'open(folder + "/facts.json", "w").write(facts)']
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = [sys.executable, "-W", "ignore", "-c", "\n".join(lines), str(file), str(folder)]
    subprocess.run(run, cwd=folder, env=environment, check=True)
    return np.load(folder / "actions.npy"), json.loads((folder / "facts.json").read_text())


def saved(folder: Path, model: WorldModel) -> str:
    card = {"command": "worldmodel train", "steps": 7, "data": [{"fingerprint": "abc"}]}
    return str(checkpoint.save(model, folder / "model", card))


@pytest.mark.parametrize("prefix", [0, 3])
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_an_exported_file_acts_alone(kind: str, prefix: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = WorldModel(replace(CONFIG, prefix=prefix)) if prefix else small_model()
    name, file = saved(tmp_path, model), tmp_path / "made" / f"act.{kind}"
    assert cli.main(["export", f"checkpoint={name}", f"to={kind}", f"out={file}", "steps=3"]) == 0
    given, noise = example(model)
    arrays = {"images": given.images, "state": given.state, "task": given.task, "noise": noise}
    if prefix:
        committed = torch.full_like(noise, 0.2)
        given = Given(given.images, given.state, given.task, prefix=committed[:, :3], committed=torch.tensor([2]))
        arrays |= {"prefix": committed, "committed": torch.tensor([2])}
    actions, facts = alone(kind, file, {key: value.numpy() for key, value in arrays.items()})
    np.testing.assert_allclose(actions, model.act(given, 3, noise).numpy(), atol=1e-5)
    assert facts["action_names"] == list(ARM[0]) and facts["image_size"] == [32, 32] and facts["prefix"] == prefix
    assert (facts["horizon"], facts["rate"], facts["steps"], facts["cameras"]) == (16, 20.0, 3, ["scene", "wrist"])
    assert facts["lineage"]["data"] == ["abc"] and facts["lineage"]["weights"] == checkpoint.card(name)["sha256"]


def test_the_page_shows_the_example_and_it_drives_an_env(tmp_path: Path) -> None:
    example = ROOT / "docs" / "howto" / "act_onnx.py"
    assert example.read_text().split('"""', 2)[2].strip() in (ROOT / "docs" / "howto" / "export.md").read_text()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "worldmodel.cli", "export", "checkpoint=shipped", "to=onnx", "out=act.onnx"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    drive = [sys.executable, str(example), "act.onnx"]
    said = subprocess.run(drive, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith("success after ")


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", f"out={tmp_path}"]) == 2 and "is a folder; name a file" in capsys.readouterr().err
    hears = WorldModel(replace(CONFIG, modalities={"audio": {}}))
    for kind in ("onnx", "torch"):
        file = tmp_path / "act"
        words = ["export", f"checkpoint={saved(tmp_path, hears)}", f"to={kind}", f"out={file}"]
        assert cli.main(words) == 2 and "it observes audio" in capsys.readouterr().err and not file.exists()
    assert cli.main(["export", "out=x", "steps=0"]) == 2 and "steps=0: expected 1 to 64" in capsys.readouterr().err
