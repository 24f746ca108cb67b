"""The List operations' common ground: filters, order and pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from atelier.cloud.services.sagemaker.service import invalid
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record, Table

PAGE = 100


def page(
    table: Table, request: Document, *, what: str, status: str | None = None
) -> tuple[list[Record], str | None]:
    """Return one page of records and the token of the next.

    *what* is the prefix of the name's member (``Endpoint``), *status* the member that ``StatusEquals`` means.
    """
    rows = [row for _, row in table.items() if _wanted(row, request, what, status)]
    keys = {"Name": f"{what}Name", "Status": status or "", "LastModifiedTime": "LastModifiedTime"}
    key = keys.get(request.get("SortBy", ""), "CreationTime")
    rows.sort(key=lambda row: str(row[key]), reverse=request.get("SortOrder", "Descending") == "Descending")
    first = _offset(request.get("NextToken"))
    last = first + request.get("MaxResults", PAGE)
    return rows[first:last], str(last) if last < len(rows) else None


def summary(row: Record, names: Iterable[str]) -> Document:
    """Return the members of *row* that a summary has."""
    return {name: row[name] for name in names if row.get(name) is not None}


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit():
        raise invalid("Invalid NextToken")
    return int(token)


def _wanted(row: Record, request: Document, what: str, status: str | None) -> bool:
    return (
        request.get("NameContains", "").lower() in row[f"{what}Name"].lower()
        and (status is None or request.get("StatusEquals") in (None, row[status]))
        and _within(row, request, "CreationTime")
        and _within(row, request, "LastModifiedTime")
    )


def _within(row: Record, request: Document, member: str) -> bool:
    after: Any = request.get(f"{member}After")
    before: Any = request.get(f"{member}Before")
    if after is None and before is None:
        return True
    time = datetime.fromisoformat(row[member])
    return (after is None or time > after) and (before is None or time < before)
