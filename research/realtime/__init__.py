"""What inference latency costs: success and jerk under delays, with and without continuing committed actions."""
