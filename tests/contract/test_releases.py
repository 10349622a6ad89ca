"""Released versions are kept as they were, and records of theirs can be read for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.fingerprint import fingerprint
from schemas.releases import RELEASED, freeze, releases, schemas_by_fingerprint
from schemas.shapes import JSON, IllegalSchemaError, full_name_of


def test_a_frozen_version_holds_today_s_messages(tmp_path: Path) -> None:
    """Each message is written self-contained and read back as it was."""
    written = freeze("1.2.3", tmp_path)

    found = releases(tmp_path)
    assert [(each.version, each.full_name, each.schema) for each in found] == [
        ("1.2.3", name, contract.schema) for name, contract in load_catalogue().by_name.items()
    ]
    assert [path.stem for path in written] == list(load_catalogue().by_name)


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    """0.10.0 comes after 0.9.0."""
    for version in ("0.10.0", "0.9.0"):
        freeze(version, tmp_path)

    assert list(dict.fromkeys(each.version for each in releases(tmp_path))) == ["0.9.0", "0.10.0"]


def test_a_released_version_is_never_written_again(tmp_path: Path) -> None:
    """Records written with it may still lie in a topic."""
    freeze("1.0.0", tmp_path)

    with pytest.raises(IllegalSchemaError, match="A released version stays; take the next"):
        freeze("1.0.0", tmp_path)
    with pytest.raises(IllegalSchemaError, match=r"'1\.0' is no version"):
        freeze("1.0", tmp_path)


def test_a_reader_finds_the_schema_of_every_version(tmp_path: Path) -> None:
    """A message that is gone or was shorter once is found by the fingerprint in its records."""
    (tmp_path / "0.0.1").mkdir()
    gone: JSON = {"type": "record", "name": "Gone", "namespace": "baton.shop", "fields": []}
    (tmp_path / "0.0.1" / "baton.shop.Gone.avsc").write_text(json.dumps(gone), encoding="utf-8")

    found = schemas_by_fingerprint(tmp_path)

    assert found[fingerprint(gone)] == gone
    assert len(found) == len(load_catalogue().by_name) + 1


def test_files_of_a_version_are_named_by_what_they_hold() -> None:
    """A file can be found by the `ce_type` of a record."""
    for each in releases(RELEASED):
        assert full_name_of(each.schema) == each.full_name
