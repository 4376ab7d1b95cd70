"""Drive an env with an exported checkpoint: python act_onnx.py act.onnx. Acting needs NumPy and ONNX Runtime alone."""

import json
import sys

import numpy as np
import onnxruntime


class OnnxPolicy:
    """Chunks of actions, float32 (horizon, A), from one observation."""

    def __init__(self, file: str, task: str, seed: int = 0) -> None:
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.facts = json.loads(self.session.get_modelmeta().custom_metadata_map["worldmodel"])
        self.task, self.random = self.facts["tasks"].index(task), np.random.default_rng(seed)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        frames = [observation[f"observation.images.{camera}"] for camera in self.facts["cameras"]]
        state = np.concatenate([observation[key] for key in self.facts["states"]])
        noise = self.random.standard_normal((1, self.facts["horizon"], len(self.facts["action_names"])), np.float32)
        given = {"images": np.stack(frames)[None], "state": state[None], "task": np.array([self.task]), "noise": noise}
        return self.session.run(["actions"], given)[0][0]


if __name__ == "__main__":
    from worldmodel.sims.can import make  # or any other env, or a robot

    policy, env = OnnxPolicy(sys.argv[1], "lift_can"), make("lift_can")
    observation, _ = env.reset(seed=0)
    ended, steps, info = False, 0, {}
    while not ended:
        for action in policy.act(observation)[:8]:
            observation, _, terminated, truncated, info = env.step(action)
            ended, steps = terminated or truncated, steps + 1
            if ended:
                break
    print(f"{'success' if info['success'] else 'failure'} after {steps} steps")
