"""The rows of a service that one batch works on: loaded at once, changed in memory, written once.

A row changed by one message is what the next message of the batch sees. A row whose key was
loaded and found is updated at the version it had; every other row is inserted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.chassis.handlers import Handler, Keys, Loads, Rows
from services.chassis.store import Plan, Row, Select, Write
from services.chassis.tables import Table


class _Sheet:
    """One table's part: what stands there, which keys were asked for, what changed."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: dict[str, object] = {}
        self.versions: dict[str, int] = {}
        self.asked: set[str] = set()
        self.changed: set[str] = set()

    def fetch(self, keys: Iterable[str]) -> Plan[None]:
        missing = set(keys) - self.asked
        if not missing:
            return
        self.asked |= missing
        found = yield Select(self.table.select, (sorted(missing),))
        for cells in found:
            row, version = self.table.decode(cells)
            key = self.table.key_of(row)
            self.rows.setdefault(key, row)
            self.versions[key] = version

    def put(self, row: object) -> None:
        key = self.table.key_of(row)
        self.rows[key] = row
        self.changed.add(key)

    def write(self) -> Plan[None]:
        encode, versions = self.table.encode, self.versions
        changed = sorted(self.changed)
        new = [encode(self.rows[key]) for key in changed if key not in versions]
        old: list[Row] = [
            (*encode(self.rows[key]), key, versions[key]) for key in changed if key in versions
        ]
        if new:
            yield Write(self.table.insert, new, expect=len(new))
        if old:
            yield Write(self.table.update, old, expect=len(old))


class Working:
    """Every table of a service, as one batch sees them."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._sheets = {table.row: _Sheet(table) for table in tables}

    def load(self, wanted: Sequence[tuple[Handler, object]]) -> Plan[None]:
        """One query a table for the first rows, and one for those that they name."""
        first: dict[type, set[str]] = {}
        for handler, subject in wanted:
            loads = handler.loads
            if loads.table is not None and loads.by is not None:
                first.setdefault(loads.table, set()).update(_keys(loads.by, subject))
        yield from self._fetch(first)
        then: dict[type, set[str]] = {}
        for handler, subject in wanted:
            loads = handler.loads
            if loads.then is not None and loads.whose is not None and loads.by is not None:
                rows = self._pick(loads.table, _keys(loads.by, subject))
                then.setdefault(loads.then, set()).update(_keys(loads.whose, subject, rows))
        yield from self._fetch(then)

    def _fetch(self, wanted: Mapping[type, set[str]]) -> Plan[None]:
        """Tables in their own order, whatever is asked for first: nobody locks crosswise."""
        for table, sheet in self._sheets.items():
            yield from sheet.fetch(wanted.get(table, ()))

    def rows_of(self, loads: Loads, subject: object) -> Plan[tuple[Rows, ...]]:
        """What the handler is given; fetches what an earlier message of the batch made needed."""
        if loads.table is None or loads.by is None:
            return ()
        keys = tuple(loads.by(subject))
        yield from self._sheets[loads.table].fetch(keys)
        rows = self._pick(loads.table, keys)
        if loads.then is None or loads.whose is None:
            return (rows,)
        then = tuple(loads.whose(subject, rows))
        yield from self._sheets[loads.then].fetch(then)
        return (rows, self._pick(loads.then, then))

    def _pick(self, table: type | None, keys: Iterable[str]) -> Rows:
        assert table is not None
        stand: Mapping[str, object] = self._sheets[table].rows
        return {key: stand[key] for key in keys if key in stand}

    def put(self, rows: Sequence[object]) -> None:
        for row in rows:
            if type(row) not in self._sheets:
                raise TypeError(f"{type(row).__name__} stands in none of this service's TABLES")
        for row in rows:
            self._sheets[type(row)].put(row)

    def mark(self) -> list[tuple[dict[str, object], set[str]]]:
        return [(dict(sheet.rows), set(sheet.changed)) for sheet in self._sheets.values()]

    def back_to(self, mark: Sequence[tuple[dict[str, object], set[str]]]) -> None:
        for sheet, (rows, changed) in zip(self._sheets.values(), mark, strict=True):
            for key in sheet.versions.keys() - rows.keys():
                # Fetched since: what was read may have been changed, so it is read again.
                del sheet.versions[key]
                sheet.asked.discard(key)
            sheet.rows, sheet.changed = rows, changed

    def write(self) -> Plan[None]:
        for sheet in self._sheets.values():
            yield from sheet.write()


def _keys(function: Keys, *subject: object) -> tuple[str, ...]:
    try:
        return tuple(function(*subject))
    except Exception:  # noqa: BLE001
        # A message whose keys cannot be told is parked when its own turn comes, not here.
        return ()
