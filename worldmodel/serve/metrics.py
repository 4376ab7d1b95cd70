"""Counts of a server, as Prometheus reads them."""

import time

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
OUTCOMES = ("answered", "dropped", "late", "refused", "failed")
"""What becomes of a request: a newer one came, its deadline passed, it was malformed, or the policy raised an error."""


class Metrics:
    """Requests by outcome, seconds of inference, clients, and episodes recorded."""

    def __init__(self) -> None:
        self.began = time.time()
        self.requests = dict.fromkeys(OUTCOMES, 0)
        self.below = dict.fromkeys(BUCKETS, 0)
        self.seconds, self.inferences = 0.0, 0
        self.clients, self.episodes, self.unrecorded = 0, 0, 0

    def took(self, seconds: float) -> None:
        """One inference."""
        self.seconds, self.inferences = self.seconds + seconds, self.inferences + 1
        for bucket in BUCKETS:
            self.below[bucket] += seconds <= bucket

    def text(self) -> str:
        """All of them, in Prometheus's text format."""
        requests = {f'{{outcome="{outcome}"}}': count for outcome, count in self.requests.items()}
        times: dict[str, float] = {f'_bucket{{le="{le:g}"}}': count for le, count in self.below.items()}
        times |= {'_bucket{le="+Inf"}': self.inferences, "_sum": self.seconds, "_count": self.inferences}
        lines = []
        for name, kind, values in (
            ("clients", "gauge", {"": self.clients}),
            ("start_time_seconds", "gauge", {"": self.began}),
            ("requests_total", "counter", requests),
            ("inference_seconds", "histogram", times),
            ("recorded_episodes_total", "counter", {"": self.episodes}),
            ("unrecorded_episodes_total", "counter", {"": self.unrecorded}),
        ):
            lines.append(f"# TYPE worldmodel_serve_{name} {kind}")
            lines += [f"worldmodel_serve_{name}{end} {value:.17g}" for end, value in values.items()]
        return "\n".join(lines) + "\n"
