"""Many simulators under one policy: nothing mixed up, nothing lost, whatever happens to the processes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arcade import EXECUTE, FINGERPRINT, CountingPolicy, counting, length_of, starts_of, succeeds

from worldmodel.config import UserError
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.run import EvalRun, crowded, run, time_single
from worldmodel.policies.load import LoadedPolicy
from worldmodel.processes import Pool
from worldmodel.rollout import BatchedPolicy, BatchedRollout, EpisodeResult
from worldmodel.rollout.policy import noise_seed, stack
from worldmodel.sims.base import SimulatorSpec, state_hash
from worldmodel.sims.make import slots_of

BATCH = 4


def play(simulator: SimulatorSpec, episodes: int = 9, timeout: float = 30.0) -> tuple[dict[int, EpisodeResult], int]:
    initial_states, results = starts_of(episodes).first(episodes), dict[int, EpisodeResult]()
    policy = CountingPolicy(initial_states, BATCH)
    with Pool(slots_of(simulator), BATCH, 2, timeout) as simulators:
        lockstep = BatchedRollout(BatchedPolicy(policy, BATCH), simulators, EXECUTE)
        lockstep.run(initial_states, lambda result: results.__setitem__(result.start.index, result))
        assert lockstep.steps == sum(map(length_of, range(episodes)))
        return results, simulators.replaced


def check(results: dict[int, EpisodeResult], episodes: int = 9) -> None:
    assert sorted(results) == list(range(episodes))
    for index, result in results.items():
        assert result.steps == length_of(index) == len(result.actions)
        assert result.success == succeeds(index)
        assert result.decisions == -(-length_of(index) // EXECUTE)
        np.testing.assert_array_equal(result.actions[:, 1], range(length_of(index)))
        assert result.line()["start"] == state_hash(np.array([index, 0.5]))


def test_every_episode_is_played_once_and_right() -> None:
    results, replaced = play(counting())
    check(results)
    assert replaced == 0
    assert all(result.attempts == 1 for result in results.values())


@pytest.mark.parametrize("trouble", ["die", "hang"])
def test_a_lost_simulator_is_replaced_and_its_episodes_played_again(trouble: str, tmp_path: Path) -> None:
    timeout = 30.0 if trouble == "die" else 1.5
    began = time.monotonic()
    results, replaced = play(counting(trouble, 2, str(tmp_path / "mark")), timeout=timeout)
    check(results)
    assert replaced >= 1
    assert results[2].attempts == 2
    assert time.monotonic() - began < 60


def test_retries_are_bounded() -> None:
    with pytest.raises(UserError, match=r"died \(exit code 3\).* 3 times"):
        play(counting("die", 2))


def test_errors_of_the_simulator_reach_the_user_in_one_line() -> None:
    with pytest.raises(UserError, match="a simulator failed: start 2 is already solved; freeze the starts again"):
        play(counting("solved", 2))
    with pytest.raises(OSError, match="No space left"):
        play(counting("disk", 2))


def test_noise_belongs_to_start_and_decision() -> None:
    first, second = starts_of(2).first(2)
    seeds = {noise_seed(s, t, d) for s in (0, 1) for t in (first, second) for d in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert noise_seed(0, first, 0) == noise_seed(0, first, 0)


class Bare:
    """A policy that knows no noise seeds."""

    chunk_size = 3

    def reset(self) -> None: ...

    def act(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        return np.repeat(observations["x"][:, None, None], 3, axis=1).astype(np.float32)


def test_actor_pads_to_one_size_and_times() -> None:
    actor = BatchedPolicy(Bare(), 4)
    observations = [{"x": np.array(float(i))} for i in range(3)]
    chunks = actor.act(observations, [0, 1, 2])
    assert chunks.shape == (3, 3, 1)
    np.testing.assert_array_equal(chunks[:, 0, 0], [0, 1, 2])
    assert len(actor.milliseconds) == 1
    timed = time_single(actor, [(observation, 0) for observation in observations])
    assert timed["n"] >= 50
    assert timed["p50"] <= timed["p95"]
    assert timed["cpu_share"] > 0
    assert crowded(0.3, "cpu") == ["the machine was busy: the policy got 30 % of a core, so its times are too long"]
    assert crowded(1.6, "cpu") == crowded(0.3, "cuda") == []
    assert stack(observations)["x"].shape == (3,)
    with pytest.raises(ValueError, match="expected"):
        actor.act([{"x": np.array(np.nan)}], [0])


def evaluation(out: Path, episodes: int = 9, interrupt_after: int = -1, **options: object) -> EvalRun:
    starts = starts_of(20)
    initial_states = starts.first(episodes)
    policy = CountingPolicy(initial_states, BATCH, interrupt_after)
    config = EvaluateConfig(
        out=str(out),
        task="count",
        episodes=episodes,
        batch=BATCH,
        n_action_steps=EXECUTE,
        videos=3,
        workers=1,
        **options,
    )  # type: ignore[arg-type]
    loaded = LoadedPolicy(policy, "counting", "c" * 64, size=8)
    return EvalRun(config, loaded, starts, initial_states, counting(), FINGERPRINT, [])


def test_an_interrupted_evaluation_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(evaluation(tmp_path, interrupt_after=3)) == 130
    said = capsys.readouterr().out
    kept = {json.loads(line)["episode"] for line in (tmp_path / "episodes.jsonl").read_text().splitlines()}
    assert 0 < len(kept) < 9
    assert f"{len(kept)} of 9 episodes are kept" in said
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"episode": 8, "start": "cut sho')  # as after kill -9
    record = json.loads((tmp_path / "run.json").read_text())
    record["identity"]["execute"] = record["identity"].pop("n_action_steps")  # as older versions wrote it
    (tmp_path / "run.json").write_text(json.dumps(record))
    again = evaluation(tmp_path)
    assert run(again) == 0
    assert not kept & again.loaded.policy.seen, "finished episodes are not played again"  # type: ignore[attr-defined]
    whole = tmp_path / "whole"
    assert run(evaluation(whole)) == 0
    first, second = (
        {
            line["episode"]: (line["success"], line["steps"], line["start"])
            for line in map(json.loads, text.splitlines())
        }
        for text in ((tmp_path / "episodes.jsonl").read_text(), (whole / "episodes.jsonl").read_text())
    )
    assert first == second


def test_an_evaluation_that_was_whole_but_not_timed_is_reported_without_times(tmp_path: Path, capsys: Any) -> None:
    """kill -9 after the last episode and before the report: there is nothing left to time."""
    assert run(evaluation(tmp_path)) == 0
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({"identity": record["identity"], "spent": {}}))
    (tmp_path / "report.json").unlink()
    capsys.readouterr()
    assert run(evaluation(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "none was timed" in said and "nan" not in said
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["episodes"], found["act_ms"]["p50"], found["act_ms"]["n"]) == (9, None, 0)
    assert "nan" not in (tmp_path / "index.html").read_text().split("<pre")[0].lower()


def test_the_report_has_what_machines_read(tmp_path: Path) -> None:
    assert run(evaluation(tmp_path / "a")) == 0
    found = json.loads((tmp_path / "a" / "report.json").read_text())
    assert (found["task"], found["episodes"], found["successes"]) == ("count", 9, 7)
    assert found["success_rate"] == pytest.approx(7 / 9)
    assert found["interval"] == pytest.approx([0.4526, 0.9368], abs=2e-4)
    assert found["act_ms"]["n"] >= 50
    assert set(found) >= {"act_ms", "steps_per_second", "checkpoint", "fingerprint", "batch_ms"}
    assert found["fingerprint"]["weights"] == "c" * 64
    assert set(found["failures"]) == {"3", "8"}
    page = (tmp_path / "a" / "index.html").read_text()
    assert page.index("videos/0003.mp4") < page.index("videos/0008.mp4") < page.index("videos/0000.mp4")
    assert "://" not in page.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched from elsewhere"
    assert run(evaluation(tmp_path / "a")) == 0, "a finished evaluation can be asked for again"
    assert json.loads((tmp_path / "a" / "report.json").read_text())["act_ms"] == found["act_ms"]
    assert run(evaluation(tmp_path / "b", against=str(tmp_path / "a"))) == 0
    paired = json.loads((tmp_path / "b" / "report.json").read_text())["paired"]
    assert (paired["both"], paired["neither"], paired["p_value"]) == (7, 2, 1.0)


def test_another_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    assert run(evaluation(tmp_path)) == 0
    with pytest.raises(UserError, match="holds an evaluation with seed=0, expected seed=1"):
        run(evaluation(tmp_path, seed=1))
    with pytest.raises(UserError, match=r"no episodes\.jsonl there"):
        run(evaluation(tmp_path / "c", against=str(tmp_path / "nowhere")))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        run(evaluation(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        run(evaluation(tmp_path / "file"))
