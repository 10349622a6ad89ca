"""Lives of a process: each begins armed with a failpoint or unarmed, and ends by SIGKILL.

A failpoint is armed for one life. The supervisor starts what died again, so its environment is
changed just long enough for one start: otherwise the process would die there for ever. A death
counts only when the process ended by SIGKILL and its own last words name the failpoint.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from tests.integration.running_company import Company, comes_true, until

STARTED_WITHIN_S: Final = 30.0
# Of a record under way after an unclean end: a third death on it in a row would be called its
# fault, as it would be.
PENDING = (
    "SELECT 1 FROM attempts JOIN offsets USING (topic, partition)"
    " WHERE tries >= 2 AND attempts.offset >= offsets.next LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Life:
    """From one start of `process` on. `failpoint` is where it is to end, "" where it is not."""

    company: Company
    process: str
    pid: int
    failpoint: str = ""

    @property
    def is_over(self) -> bool:
        return self.company.keeper(self.process).status().pid != self.pid

    async def ends_there(self, *, within_s: float) -> bool:
        """Whether it died where it was to, by its own hand."""
        if not await comes_true(lambda: self.is_over, within_s=within_s):
            return False
        killed = self.company.keeper(self.process).status().exit_code == -signal.SIGKILL
        return killed and self._last_words() == self.failpoint

    def _last_words(self) -> str:
        log = self.company.home.log(self.process).read_text().splitlines()
        for line in reversed(log):
            with suppress(json.JSONDecodeError):
                said = json.loads(line)
                if said.get("pid") == self.pid and "failpoint" in said:
                    return str(said["failpoint"])
        return ""


async def next_life(company: Company, process: str, failpoint: str = "") -> Life:
    """Begins at once, whatever state the process is in; what runs is killed first."""
    keeper = company.keeper(process)
    plain, before = keeper.spec, keeper.status().pid
    if failpoint:
        armed = {"BATON_TEST": "1", "BATON_FAILPOINT": failpoint}
        keeper.spec = replace(plain, env={**plain.env, **armed})

    def started() -> bool:
        if keeper.status().pid in (None, before):
            keeper.begin()  # nobody waits for the supervisor's patience
        return keeper.status().pid not in (None, before)

    try:
        await kill_now(company, process)
        await until(started, f"{process} is started again", within_s=STARTED_WITHIN_S)
    finally:
        keeper.spec = plain
    pid = keeper.status().pid
    assert pid is not None
    return Life(company, process, pid, failpoint)


async def kill_now(company: Company, *processes: str) -> int:
    """SIGKILL for those of them that run, all in one moment: how many did."""
    pids = [pid for each in processes if (pid := company.keeper(each).status().pid) is not None]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    keepers = [company.keeper(each) for each in processes]
    await until(lambda: not {each.status().pid for each in keepers} & set(pids), "they are dead")
    return len(pids)


async def may_die_again(company: Company, process: str) -> bool:
    """Whether no record has been under way in two unfinished attempts; waits until it is so."""
    return await comes_true(lambda: not company.rows(process, PENDING), within_s=60)
