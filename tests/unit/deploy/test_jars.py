"""Only the locked bytes become a class path, whatever the network, a mirror or a kill does."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.faults import FetchFailed, HomeUnusable, JarMismatch
from deploy.local.jars import Jar, Lock, class_path, missing, read_lock

CONTENTS = {"a-1.jar": b"first", "b-2.jar": b"second", "c-3.jar": b"third"}


class Mirror:
    """Answers with bytes by file name, counts, and fails as told."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        self.contents = dict(CONTENTS if contents is None else contents)
        self.asked: list[str] = []
        self.error: Exception | None = None

    def fetch(self, jar: Jar, staging: Path) -> Path:
        self.asked.append(jar.file)
        if self.error is not None or jar.file not in self.contents:
            raise self.error or ConnectionError("Name or service not known")
        path = staging / jar.file
        path.write_bytes(self.contents[jar.file])
        return path


@pytest.fixture
def lock() -> Lock:
    return Lock(
        digest="d",
        kafka="4.4.0",
        jars=tuple(
            Jar(f"org.x:{name[0]}:{name[2]}", name, len(b), hashlib.sha256(b).hexdigest())
            for name, b in CONTENTS.items()
        ),
    )


def test_the_committed_lock_names_each_jar_once_and_no_host() -> None:
    """Coordinates, sizes and sums; where they come from is not the lock's business."""
    lock = read_lock()
    text = jars.LOCK.read_text(encoding="utf-8")
    assert lock.kafka == "4.4.0"
    assert len({jar.file for jar in lock.jars}) == len(lock.jars) == 45
    assert {len(jar.sha256) for jar in lock.jars} == {64}
    assert {jar.coordinate.split(":")[1] for jar in lock.jars} >= {"log4j-slf4j-impl", "log4j-core"}
    assert not re.search(r"https?:|//|www\.", text)
    assert json.loads(text)["roots"][1].startswith("org.apache.logging.log4j:log4j-slf4j-impl:")


def test_a_first_start_says_what_it_fetches_and_a_second_fetches_nothing(
    lock: Lock, tmp_path: Path
) -> None:
    """One line before the first byte: what, how big, why, and where it is kept."""
    mirror, said = Mirror(), list[str]()
    paths = class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch, report=said.append)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    what = "fetching Apache Kafka 4.4.0: 3 jars, 0 MB, once, to run a real broker on this machine"
    assert said == [f"{what} (kept in {tmp_path})", "  3 of 3 fetched and checked"]
    assert class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch) == paths
    assert sorted(mirror.asked) == sorted(CONTENTS)


def test_a_foreign_jar_is_refused_by_name_with_both_sums(lock: Lock, tmp_path: Path) -> None:
    """It never reaches the folder, so no later start can take it either."""
    mirror = Mirror({**CONTENTS, "b-2.jar": b"other"})
    with pytest.raises(JarMismatch) as caught:
        class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch)
    assert "b-2.jar is not the locked org.x:b:2" in caught.value.what
    assert f"expected SHA-256 {hashlib.sha256(b'second').hexdigest()}" in caught.value.what
    assert f"got {hashlib.sha256(b'other').hexdigest()}" in caught.value.what
    assert not (tmp_path / "b-2.jar").exists()


def test_what_was_fetched_before_the_network_went_is_kept(lock: Lock, tmp_path: Path) -> None:
    """Resumable: the second run asks only for what is missing."""
    without_c = {name: content for name, content in CONTENTS.items() if name != "c-3.jar"}
    with pytest.raises(FetchFailed, match=r"c-3\.jar .* could not be fetched") as caught:
        class_path(lock=lock, folder=tmp_path, fetch=Mirror(without_c).fetch)
    assert caught.value.mend.startswith("make setup ")
    assert "KAFKA_BOOTSTRAP_SERVERS" in caught.value.mend
    left = [jar.file for jar in missing(lock, tmp_path)]
    mirror = Mirror()
    class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch)
    assert mirror.asked == left
    assert "c-3.jar" in left


def test_a_jar_changed_afterwards_is_hashed_again(lock: Lock, tmp_path: Path) -> None:
    """The marker remembers sizes and times, so a quick start is still a checked one."""
    mirror = Mirror()
    class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch)
    (tmp_path / "a-1.jar").write_bytes(b"evil!")
    with pytest.raises(JarMismatch, match=r"a-1\.jar"):
        class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch)


def test_another_lock_is_checked_anew(lock: Lock, tmp_path: Path) -> None:
    """A marker of yesterday's lock proves nothing about today's."""
    class_path(lock=lock, folder=tmp_path, fetch=Mirror().fetch)
    first = lock.jars[0]
    wrong = Jar(first.coordinate, first.file, first.bytes, "0" * 64)
    newer = Lock("e", "4.4.1", (wrong, *lock.jars[1:]))
    with pytest.raises(JarMismatch, match="expected SHA-256 0000"):
        class_path(lock=newer, folder=tmp_path, fetch=Mirror().fetch)


def test_a_full_disk_is_no_matter_of_the_network(lock: Lock, tmp_path: Path) -> None:
    """The message sends to `df`, not to the network."""
    mirror = Mirror()
    mirror.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(HomeUnusable, match="No space left") as caught:
        class_path(lock=lock, folder=tmp_path, fetch=mirror.fetch)
    assert caught.value.mend.startswith("df -h")


def test_an_interrupted_fetch_ends_between_two_jars(lock: Lock, tmp_path: Path) -> None:
    """Ctrl-C on a slow line waits for one jar, not for all, and the next start goes on."""
    with pytest.raises(FetchFailed, match="stopped after 1 of 3 jars") as caught:
        class_path(lock=lock, folder=tmp_path, fetch=Mirror().fetch, stop=lambda: True)
    assert caught.value.mend.startswith("baton up ")
    assert len(class_path(lock=lock, folder=tmp_path, fetch=Mirror().fetch)) == 3
