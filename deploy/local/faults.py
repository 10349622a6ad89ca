"""What can go wrong on a machine that runs Baton for itself, each with the command that mends it.

LocalFault
├── FetchFailed      something that is fetched once could not be
├── JarMismatch      a jar is not the one that was locked
├── SecretExposed    others on this machine can read a secret of ours
├── HomeUnusable     the state folder cannot be written, or its disk is full
├── PlaintextRefused a Kafka on another machine, and nothing that hides what is said to it
├── StackRunning     a stack already runs in this state folder
├── StackStopped     none does
├── ProcessFailed    a process did not become ready
├── NoSuchProcess    nothing of this name runs here
└── NotScaled        a program cannot have so many processes
"""

from __future__ import annotations


class LocalFault(Exception):
    """`what` names the thing and the place, `mend` is what to type next."""

    def __init__(self, what: str, *, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


class FetchFailed(LocalFault):
    pass


class JarMismatch(LocalFault):
    pass


class SecretExposed(LocalFault):
    pass


class HomeUnusable(LocalFault):
    pass


class PlaintextRefused(LocalFault):
    pass


class StackRunning(LocalFault):
    pass


class StackStopped(LocalFault):
    pass


class ProcessFailed(LocalFault):
    pass


class NoSuchProcess(LocalFault):
    pass


class NotScaled(LocalFault):
    pass
