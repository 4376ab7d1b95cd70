"""The doctor: a probe that cannot hurt it, and advice for each thing that will be slow."""

import copy
import json
import sys
from typing import Any

import pytest

from worldmodel import doctor
from worldmodel.doctor import DoctorConfig, notes, probe_rendering

HEALTHY: dict[str, Any] = {
    "machine": {"cores": 8, "load": 0.1, "flags": ["avx512_bf16"], "memory_free_gib": 20.0, "disk_free_gib": 50.0},
    "compute": {"cuda": "some GPU", "compiler": "g++"},
    "rendering": {"works": True, "backend": "egl", "steps_per_second": 500},
}


def test_a_healthy_machine_gets_no_notes() -> None:
    assert notes(HEALTHY) == []


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("rendering", {"works": False, "reason": "no display"}, "no display"),
        ("rendering", {"backend": "ray"}, "make setup"),
        ("compute", {"cuda": ""}, "train `tiny`"),
        ("compute", {"compiler": ""}, "install g++"),
        ("machine", {"cores": 1}, "one core"),
        ("machine", {"load": 7.5}, "7.5 of 8 cores busy"),
        ("machine", {"memory_free_gib": 1.0}, "workers=1"),
        ("machine", {"disk_free_gib": 1.0}, "2 GiB"),
        ("versions", {"mujoco": "3.5.0"}, "MuJoCo 3.5.0, but shipped starts"),
    ],
)
def test_each_weakness_gets_a_note(section: str, values: dict[str, Any], said: str) -> None:
    report = copy.deepcopy(HEALTHY)
    report.setdefault(section, {}).update(values)
    assert len(notes(report)) == 1 and said in notes(report)[0]


def test_a_hanging_driver_is_given_up() -> None:
    found = probe_rendering(timeout=0.01)
    assert not found["works"] and "hangs" in found["reason"]


def test_a_crashing_driver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DRAW", "import os; os.abort()")
    assert "exit code -6" in probe_rendering(timeout=60)["reason"]
    monkeypatch.setattr(doctor, "DRAW", "raise OSError('no EGL here')")
    assert probe_rendering(timeout=60)["reason"] == "OSError: no EGL here"


@pytest.mark.parametrize(("works", "code"), [(True, 0), (False, 1)])
def test_json_for_machines(works: bool, code: int, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "probe_rendering", lambda timeout: {"works": works, "backend": "egl", "reason": "x"})
    monkeypatch.setattr(doctor, "_tflops", lambda dtype: 0.1)
    assert doctor.doctor(DoctorConfig(json=True)) == code
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["machine"]["cores"] >= 1 and isinstance(report["notes"], list)


def test_the_table_shows_every_section(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "inspect", lambda timeout: {"versions": {"torch": "2"}, **HEALTHY, "notes": ["slow [x]"]}
    )
    assert doctor.doctor(DoctorConfig()) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("versions", "machine", "compute", "rendering", "avx512_bf16", "slow [x]"))
