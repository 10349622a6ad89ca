"""The state folder is private, its token is made once, and a readable secret is refused."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from deploy.local.faults import HomeUnusable, SecretExposed
from deploy.local.home import Home, read_secret, unusable, write_whole


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "state")
    made.prepare()
    return made


def test_the_folder_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BATON_HOME, else .baton where one stands; always absolute, children run elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert Home.from_environment({}).root == tmp_path / ".baton"
    assert Home.from_environment({"BATON_HOME": ""}).root == tmp_path / ".baton"
    assert Home.from_environment({"BATON_HOME": "/srv/b"}).root == Path("/srv/b")


def test_every_folder_is_private(home: Home) -> None:
    """Databases, logs and tokens are nobody else's business."""
    folders = [home.root, home.kafka, home.data, home.logs, home.run]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 5


def test_the_token_is_made_once_and_private(home: Home) -> None:
    """The second call reads what the first one made."""
    token = home.token()
    assert len(token) >= 40
    assert home.token() == token
    assert stat.S_IMODE(home.token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_that_others_can_read_is_refused(home: Home, mode: int) -> None:
    """It is not repaired: whoever made it readable must know that it was."""
    home.token()
    home.token_file.chmod(mode)
    with pytest.raises(SecretExposed, match=f"mode {mode:04o}") as caught:
        read_secret(home.token_file)
    assert f"chmod 600 {home.token_file}" in caught.value.mend
    assert stat.S_IMODE(home.token_file.stat().st_mode) == mode


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """What cannot be used is named with the folder and the variable that moves it."""
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    with pytest.raises(HomeUnusable, match="state cannot be used") as caught:
        Home(tmp_path / "state").prepare()
    assert "BATON_HOME" in caught.value.mend


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_full(tmp_path: Path, number: int) -> None:
    """Not "error 28": the folder, and the command that shows the room."""
    fault = unusable(tmp_path / "state", OSError(number, "x"))
    assert fault.what == f"the disk of {tmp_path / 'state'} is full"
    assert fault.mend.startswith(f"df -h {tmp_path}")


def test_a_write_that_fails_leaves_the_old_text(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader sees the old file or the new one."""
    path = home.run / "state"
    write_whole(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("deploy.local.home.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
