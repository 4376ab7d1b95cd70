"""Our tasks behind the Gymnasium interface. Importing this registers them with Gymnasium."""

from worldmodel.sims.can import PERTURBATIONS, TASKS, EnvConfig, RobotEnv, Task, get_task, make, state_hash

__all__ = ["PERTURBATIONS", "TASKS", "EnvConfig", "RobotEnv", "Task", "get_task", "make", "state_hash"]
