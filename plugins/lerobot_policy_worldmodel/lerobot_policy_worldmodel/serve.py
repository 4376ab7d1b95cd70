"""LeRobot's asynchronous inference server with our policy among those it serves, for this machine only.

``python -m lerobot_policy_worldmodel.serve --port=8080 --fps=20``; options are those of LeRobot's own server.
"""

# No `from __future__ import annotations`: draccus reads the type of `serve`'s argument, and cannot from a string
from concurrent import futures

import draccus
import grpc
from lerobot.async_inference import policy_server
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.helpers import TimedObservation
from lerobot.transport import services_pb2_grpc
from lerobot.utils.import_utils import register_third_party_plugins

HERE = "127.0.0.1"
"""The one address that is served: what comes in is unpickled, so any client can run code here."""


class Server(policy_server.PolicyServer):
    """LeRobot's server. Its own drops every observation whose state moved by less than 1: all of a state in metres."""

    def _obs_sanity_checks(self, obs: TimedObservation, previous_obs: TimedObservation) -> bool:
        with self._predicted_timesteps_lock:
            return obs.get_timestep() not in self._predicted_timesteps


def start(config: PolicyServerConfig) -> grpc.Server:
    """A server that is listening on ``config.port`` of this machine. ValueError for any other host."""
    if config.host not in (HERE, "localhost"):
        raise ValueError(f"host={config.host}: the server unpickles what it is sent; it listens on {HERE} only")
    register_third_party_plugins()
    if "worldmodel" not in policy_server.SUPPORTED_POLICIES:
        policy_server.SUPPORTED_POLICIES.append("worldmodel")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(Server(config), server)
    server.add_insecure_port(f"{HERE}:{config.port}")
    server.start()
    return server


@draccus.wrap()
def serve(config: PolicyServerConfig) -> None:
    """Serve until Ctrl-C."""
    server = start(config)
    print(f"{HERE}:{config.port}: serves LeRobot's policies and worldmodel; Ctrl-C ends it", flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=2).wait()
        print("stopped", flush=True)


if __name__ == "__main__":
    serve()
