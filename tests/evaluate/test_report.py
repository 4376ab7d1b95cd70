"""What an episode came to, and the order in which people look at them."""

from __future__ import annotations

from worldmodel.evaluate import report


def test_verdicts_name_what_went_wrong() -> None:
    line = {"success": False, "closest": 0.2, "raised": 0.0}
    assert report.verdict(line) == "never reached the can"
    assert report.verdict(line | {"closest": 0.02}) == "reached it, never lifted it"
    assert report.verdict(line | {"closest": 0.02, "raised": 0.2}) == "lifted it, did not finish"
    assert report.verdict({"success": True}) == "success"
    lines = {i: {"success": i % 2 == 0, "seconds": 1.0} for i in range(4)}
    assert report.failures_first(lines) == [1, 3, 0, 2]
    assert report.score(lines)["successes"] == 2
