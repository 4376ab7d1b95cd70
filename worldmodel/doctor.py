from __future__ import annotations
from dataclasses import dataclass
from worldmodel.config import option

@dataclass(frozen=True)
class DoctorConfig:
    json: bool = option("print JSON for machines instead of the table", False)
    timeout: float = option("seconds to wait for a rendering probe", 20.0)

def doctor(config: DoctorConfig) -> int:
    print(config)
    return 0
