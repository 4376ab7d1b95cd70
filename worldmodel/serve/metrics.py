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
        name = "worldmodel_serve"
        buckets = {f'inference_seconds_bucket{{le="{le:g}"}}': count for le, count in self.below.items()}
        families: dict[str, tuple[str, dict[str, float]]] = {
            "clients": ("gauge", {"clients": self.clients}),
            "start_time_seconds": ("gauge", {"start_time_seconds": self.began}),
            "requests_total": (
                "counter",
                {f'requests_total{{outcome="{outcome}"}}': count for outcome, count in self.requests.items()},
            ),
            "inference_seconds": (
                "histogram",
                buckets
                | {'inference_seconds_bucket{le="+Inf"}': self.inferences}
                | {"inference_seconds_sum": self.seconds, "inference_seconds_count": self.inferences},
            ),
            "recorded_episodes_total": ("counter", {"recorded_episodes_total": self.episodes}),
            "unrecorded_episodes_total": ("counter", {"unrecorded_episodes_total": self.unrecorded}),
        }
        lines = []
        for family, (kind, values) in families.items():
            lines.append(f"# TYPE {name}_{family} {kind}")
            lines += [f"{name}_{key} {value:.17g}" for key, value in values.items()]
        return "\n".join(lines) + "\n"
