"""What kind of disk a database lies on, as the kernel tells it.

SQLite's locks and its shared memory hold between processes of one machine only: on a disk that
several machines share, two of them can write one file and neither notices.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OF_A_NETWORK = re.compile(r"nfs4?|cifs|smb3|smbfs|ncpfs|afs|fuse(\..+)?")
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_filesystem(path: Path, *, mounts: Path = _MOUNTS) -> str:
    """Its type if the path lies on one, or may (whatever FUSE serves). Empty without /proc."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place = path.resolve()
    holding = [(each, kind) for each, kind in map(_mount, lines) if place.is_relative_to(each)]
    # Of two mounts on one folder the later one is seen.
    _, kind = max(reversed(holding), key=lambda found: len(found[0].parts), default=(place, ""))
    return kind if _OF_A_NETWORK.fullmatch(kind) else ""


def _mount(line: str) -> tuple[Path, str]:
    """`36 35 98:0 /root /place rw,noatime master:1 - ext4 /dev/sda1 rw`: its place and its type."""
    before, _, after = line.partition(" - ")
    place = _OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split(" ")[4])
    return Path(place), after.split(" ")[0]
