"""A database on a disk that other machines may write, too, is told by its mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chassis.filesystem import network_filesystem

MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /shop rw shared:1 master:2 - nfs4 server:/export rw,vers=4.2
31 30 0:41 / /shop/local rw - xfs /dev/vdb rw
32 22 0:42 / /far/a\040b rw - fuse.sshfs me@host: rw
33 22 0:43 / /far/windows rw - cifs //server/share rw
34 22 0:44 / /far/disk rw - fuseblk /dev/sdb1 rw
35 22 0:45 / /over rw - ext4 /dev/vdc rw
36 22 0:46 / /over rw - nfs server:/other rw
37 22 0:47 / /under rw - nfs server:/third rw
38 22 0:48 / /under rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/near/.baton", ""),
        ("/shop/data/billing.db", "nfs4"),
        ("/shop/local/billing.db", ""),
        ("/shopother/billing.db", ""),
        ("/far/a b/x.db", "fuse.sshfs"),
        ("/far/windows/x.db", "cifs"),
        ("/far/disk/x.db", ""),
        ("/over/x.db", "nfs"),
        ("/under/x.db", ""),
    ],
)
def test_the_nearest_and_last_mount_says_what_it_is(tmp_path: Path, path: str, kind: str) -> None:
    """Folders are compared, not their first letters; a disk of this machine is none."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_filesystem(Path(path), mounts=mounts) == kind


def test_where_the_kernel_tells_nothing_nothing_is_refused(tmp_path: Path) -> None:
    assert network_filesystem(Path("/shop/x.db"), mounts=tmp_path / "absent") == ""
