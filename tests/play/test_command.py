"""What cannot be played is told in one line, before anything starts; Ctrl-C ends it and leaves the clip whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest
from playing import Page
from small import CONFIG, small_model

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.model import WorldModel
from worldmodel.play.command import PlayConfig, bind, play


def test_what_cannot_be_served(tmp_path: Path) -> None:
    with bind(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port={port}: taken by another program; use another, or port=0"):
            play(PlayConfig(port=port))
    with pytest.raises(ValueError, match="port=70000: expected 1 to 65535"):
        PlayConfig(port=70000)
    with pytest.raises(ValueError, match="unknown task 'place_cam'"):
        play(PlayConfig(task="place_cam", port=0))
    with pytest.raises(ValueError, match="checkpoint 'nowhere': no such folder"):
        play(PlayConfig(checkpoint="nowhere", port=0))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        play(PlayConfig(out=str(tmp_path / "file"), port=0))


@pytest.mark.parametrize(
    ("change", "modes", "told"),
    [
        ({"control_hz": 10.0}, {}, "its control rate is 10.0, play's simulator has 20.0"),
        ({"cameras": ("scene", "front")}, {}, "its cameras are scene, front, play's simulator has scene, wrist"),
        ({"action_dim": 7}, {}, "its actions is 7, play's simulator has 4"),
        ({}, {"policy": 1.0, "forward": 0.0}, "it imagines nothing from actions"),
    ],
)
def test_checkpoints_that_misfit(tmp_path: Path, change: dict, modes: dict, told: str) -> None:
    made = {"train": {"modes": modes}}
    path = checkpoint.save(WorldModel(replace(CONFIG, **change)), tmp_path / "model", made)
    with pytest.raises(UserError, match=re.escape(told)):
        play(PlayConfig(checkpoint=str(path), out=str(tmp_path / "out"), port=0))


def test_ctrl_c_ends_it_and_leaves_the_clip_whole(tmp_path: Path) -> None:
    model, out = checkpoint.save(small_model(), tmp_path / "model", {}), tmp_path / "out"
    command = [sys.executable, "-m", "worldmodel.cli", "play", f"checkpoint={model}", f"out={out}", "port=0"]
    options = {"cwd": Path(__file__).parents[2], "env": {**os.environ, "PYTHONUNBUFFERED": "1"}, "text": True}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        assert running.stdout is not None
        host = running.stdout.readline().split("http://")[1].strip().rstrip("/")
        page = Page(host)
        page.until("frame")
        page.say("record", on=True)
        page.say("pause", on=False)
        page.reach(0.25)
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    assert "closed; clips are whole" in said
    assert not complained
    (clip,) = out.iterdir()
    with av.open(str(clip)) as made:
        assert len(list(made.decode(video=0))) >= 5
