"""The orchestrator process: the sagas of this release over the chassis."""

from __future__ import annotations

from orchestrator.program import PROGRAM
from services.chassis.process import run

if __name__ == "__main__":
    run(PROGRAM)
