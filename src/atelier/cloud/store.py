"""What our services remember: records that survive a kill of the process."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Store:
    """A SQLite file of JSON records, written through on every change.

    One connection behind one lock: the services' threads write rarely, and a reader must see the last write.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS records"
            " (kind TEXT, id TEXT, position INTEGER, body TEXT, PRIMARY KEY (kind, id))"
        )

    def table(self, kind: str) -> Table:
        """Return the records of one *kind*, such as ``codebuild.builds``."""
        return Table(self._db, self._lock, kind)

    def close(self) -> None:
        """Close the file; every change is already in it."""
        with self._lock:
            self._db.close()


class Table:
    """The records of one kind, by id, in the order in which they were first written.

    A record is returned as a fresh copy: a change counts only when it is put back. Hold `lock` around a
    read-modify-write.
    """

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock, kind: str) -> None:
        self._db = db
        self.lock = lock
        self._kind = kind

    def get(self, key: str) -> Record | None:
        """Return the record, or None."""
        with self.lock:
            row = self._db.execute(
                "SELECT body FROM records WHERE kind=? AND id=?", (self._kind, key)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, record: Record) -> None:
        """Write the record; its place in the order stays that of the first write."""
        body = json.dumps(record)
        with self.lock:
            self._db.execute(
                "INSERT INTO records VALUES"
                " (?1, ?2, (SELECT COALESCE(MAX(position), 0) + 1 FROM records), ?3)"
                " ON CONFLICT (kind, id) DO UPDATE SET body=?3",
                (self._kind, key, body),
            )

    def change(self, key: str, **values: Any) -> Record:
        """Set *values* in the record and return it; raise KeyError when there is none."""
        with self.lock:
            record = self.get(key)
            if record is None:
                raise KeyError(key)
            record.update(values)
            self.put(key, record)
            return record

    def delete(self, key: str) -> bool:
        """Forget the record; say whether there was one."""
        with self.lock:
            return (
                self._db.execute("DELETE FROM records WHERE kind=? AND id=?", (self._kind, key)).rowcount > 0
            )

    def items(self) -> Iterator[tuple[str, Record]]:
        """Return ids and records, oldest first."""
        with self.lock:
            rows = self._db.execute(
                "SELECT id, body FROM records WHERE kind=? ORDER BY position", (self._kind,)
            ).fetchall()
        return ((key, json.loads(body)) for key, body in rows)

    def __contains__(self, key: str) -> bool:
        """Say whether there is a record with this id."""
        return self.get(key) is not None
