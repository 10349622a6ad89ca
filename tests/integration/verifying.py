"""`baton verify` as an operator types it, and what it answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.running_company import plainly

HERE: Final = Path(__file__).parents[2]
Row = Mapping[str, object]
# Of a company without a console, whose operators did nothing that could be audited.
WELL: Final = {
    **{f"I-{n}": "ok" for n in (*range(1, 15), 16)},
    "S-19": ("nothing to check", []),
}


async def baton(home: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """The exit code, and what went to standard output and error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.operate.cli", *words),
        env=plainly(BATON_HOME=str(home), **environment),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await asyncio.wait_for(process.communicate(), 300)
    return process.returncode or 0, out.decode(), said.decode()


async def verify(home: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Row]]:
    """The exit code, and the verdict of each invariant."""
    code, out, said = await baton(home, "-o", "json", "verify", *arguments, **environment)
    assert code in {0, 1, 4}, said
    return code, {str(each["invariant"]): each for each in json.loads(out or "[]")}


def statuses(verdicts: Mapping[str, Row]) -> dict[str, object]:
    """With what is wrong or could not be told, so that a failure says it."""
    return {
        name: row["status"]
        if row["status"] == "ok"
        else (row["status"], row["violations"] or row["why"])
        for name, row in verdicts.items()
    }
