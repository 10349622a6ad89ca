"""Kafka's jars: fetched once into the user's cache, each checked against `jars.lock`.

Every jar is fetched by its own coordinate into a place of its own, checked, and only then moved
into the folder, so that an interrupted run goes on where it stopped and a half-written file is
never taken for a jar. Invariant: whoever gets a class path from here gets the locked bytes.
Where jars come from is jgo's business: the user's Maven cache first, then their repositories.
`python -m deploy.local.jars` fetches them ahead of the first start.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .faults import FetchFailed, HomeUnusable, JarMismatch, LocalFault

LOCK: Final = Path(__file__).with_name("jars.lock")
FETCHES_AT_ONCE: Final = 4
MB: Final = 1_000_000
TOLD_EVERY: Final = 10

Fetch = Callable[["Jar", Path], Path]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    coordinate: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    digest: str
    kafka: str
    jars: tuple[Jar, ...]

    @property
    def megabytes(self) -> int:
        return round(sum(jar.bytes for jar in self.jars) / MB)


def read_lock(path: Path = LOCK) -> Lock:
    text = path.read_bytes()
    content = json.loads(text)
    return Lock(
        digest=hashlib.sha256(text).hexdigest(),
        kafka=content["roots"][0].rpartition(":")[2],
        jars=tuple(Jar(**entry) for entry in content["jars"]),
    )


def jar_folder(lock: Lock) -> Path:
    """Shared by every state folder of this user, so that `baton reset` fetches nothing again."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "baton" / f"kafka-{lock.kafka}"


def class_path(
    *,
    lock: Lock | None = None,
    folder: Path | None = None,
    fetch: Fetch | None = None,
    report: Report = lambda _line: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Path, ...]:
    """The verified jars. Raises FetchFailed without a network, JarMismatch for foreign bytes.

    `stop` is asked between jars, because a thread cannot be interrupted.
    """
    lock = lock or read_lock()
    folder = folder or jar_folder(lock)
    paths = tuple(folder / jar.file for jar in lock.jars)
    if _is_verified(lock, folder):
        return paths
    with _only_one(folder):
        if not _is_verified(lock, folder):
            _complete(lock, folder, fetch or fetch_with_jgo, report, stop)
            _mark_verified(lock, folder)
    return paths


def missing(lock: Lock, folder: Path) -> tuple[Jar, ...]:
    return tuple(jar for jar in lock.jars if not (folder / jar.file).is_file())


def _complete(
    lock: Lock, folder: Path, fetch: Fetch, report: Report, stop: Callable[[], bool]
) -> None:
    """1. What lies there is checked. 2. What is missing is fetched, checked and moved in."""
    for jar in lock.jars:
        path = folder / jar.file
        if path.is_file():
            _check(jar, path)
    wanted = missing(lock, folder)
    if not wanted:
        return
    size = round(sum(jar.bytes for jar in wanted) / MB)
    report(
        f"fetching Apache Kafka {lock.kafka}: {len(wanted)} jars, {size} MB, once, "
        f"to run a real broker on this machine (kept in {folder})"
    )
    with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        running = [pool.submit(_fetch_one, jar, folder, fetch) for jar in wanted]
        try:
            _await_all(running, report, stop)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _await_all(running: list[Future[None]], report: Report, stop: Callable[[], bool]) -> None:
    for count, done in enumerate(as_completed(running), start=1):
        done.result()
        if stop():
            raise FetchFailed(
                f"stopped after {count} of {len(running)} jars; they are kept",
                mend="baton up   (goes on from there)",
            )
        if count % TOLD_EVERY == 0 or count == len(running):
            report(f"  {count} of {len(running)} fetched and checked")


def _fetch_one(jar: Jar, folder: Path, fetch: Fetch) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging:
        try:
            path = fetch(jar, Path(staging))
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            raise FetchFailed(
                f"{jar.file} ({jar.bytes / MB:.1f} MB) of the embedded Kafka could not be "
                f"fetched: {_one_line(_first_cause(error))}",
                mend="make setup   (again, once the network answers: what was fetched is kept; "
                "HTTPS_PROXY names a proxy, REQUESTS_CA_BUNDLE its certificates); "
                "or set KAFKA_BOOTSTRAP_SERVERS to a Kafka you have",
            ) from error
        _check(jar, path)
        path.replace(folder / jar.file)


def _check(jar: Jar, path: Path) -> None:
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    if got != jar.sha256:
        raise JarMismatch(
            f"{path} is not the locked {jar.coordinate}: expected SHA-256 {jar.sha256}, got {got}",
            mend=f"rm -f {path} && baton up   (if it happens again, do not trust the mirror)",
        )


def fetch_with_jgo(jar: Jar, staging: Path) -> Path:
    """One coordinate per call: a joined call lets one artifact override another's versions."""
    from jgo.config import GlobalSettings  # noqa: PLC0415  only the first start needs it
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    settings = GlobalSettings.load()
    group, name, version = jar.coordinate.split(":")
    kept = settings.repo_cache.joinpath(*group.split("."), name, version, jar.file)
    if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == jar.sha256:
        copy = staging / jar.file
        copy.write_bytes(kept.read_bytes())
        return copy
    context = MavenContext(
        repo_cache=staging,
        remote_repos={**settings.repositories, "central": MAVEN_CENTRAL_URL},
        timeout=30,
    )
    return Path(context.project(group, name).at_version(version).artifact().resolve())


def _marker(folder: Path) -> Path:
    return folder / "verified.json"


def _stamps(lock: Lock, folder: Path) -> dict[str, list[int]]:
    stats = {jar.file: (folder / jar.file).stat() for jar in lock.jars}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _is_verified(lock: Lock, folder: Path) -> bool:
    """Sizes and times are compared, so that a jar changed afterwards is hashed again."""
    try:
        marker = json.loads(_marker(folder).read_text(encoding="utf-8"))
        return bool(marker == {"lock": lock.digest, "jars": _stamps(lock, folder)})
    except (OSError, ValueError):
        return False


def _mark_verified(lock: Lock, folder: Path) -> None:
    draft = _marker(folder).with_suffix(".draft")
    content = {"lock": lock.digest, "jars": _stamps(lock, folder)}
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(_marker(folder))


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two starts at once: the second waits, and then finds the work done."""
    import fcntl  # noqa: PLC0415  not on every platform, and only the first start locks

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise HomeUnusable(
            f"{folder} cannot be written: {_one_line(error)}",
            mend=f"df -h {folder.parent}; ls -ld {folder.parent}; or set XDG_CACHE_HOME",
        ) from error


def _first_cause(error: BaseException) -> BaseException:
    """What went wrong on the wire, below what each library made of it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def main() -> int:
    try:
        class_path(report=lambda line: print(line, file=sys.stderr))
    except LocalFault as fault:
        print(f"✖ {fault.what}\n  → {fault.mend}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
