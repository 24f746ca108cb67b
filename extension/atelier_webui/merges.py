"""Merges: checkpoints made of others, in the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atelier_webui.calls import Calls
from atelier_webui.errors import Problem

if TYPE_CHECKING:
    from atelier_webui.contract.api.merges import (
        CreatedMerge,
        Merge,
        MergeDetail,
        MergeMethod,
        MergePrecision,
        Merges,
    )


@dataclass(frozen=True)
class Merging:
    """The merges of an account's middleware."""

    calls: Calls

    def page(self, *, limit: int, start: str | None = None) -> Merges:
        """Return merges, the newest first."""
        query = {"limit": limit, "exclusive_start_key": start}
        page: Merges = self.calls.data("ListMerges", query=query)
        return page

    def get(self, id: str) -> MergeDetail:
        """Return a merge, as far as it is."""
        found: MergeDetail = self.calls.data("GetMerge", id=id)
        return found

    def begin(
        self,
        method: MergeMethod,
        checkpoints: Sequence[str],
        output_name: str,
        *,
        multiplier: float,
        precision: MergePrecision,
    ) -> Merge:
        """Begin a merge of as many checkpoints as its method takes, in the order of A, B and C."""
        from atelier_webui.contract.api.merges import PARENTS, MergeCheckpointsRequest

        wanted = tuple(checkpoints[: PARENTS[method]])
        if len(wanted) < PARENTS[method] or not all(wanted):
            raise Problem(f"Choose the checkpoints {', '.join('ABC'[: PARENTS[method]])} first.")
        request = MergeCheckpointsRequest(
            method=method,
            checkpoints=wanted,
            output_name=output_name,
            multiplier=multiplier,
            precision=precision,
        )
        made: CreatedMerge = self.calls.data("MergeCheckpoints", request)
        return made.merge

    def stop(self, id: str) -> None:
        """Let a merge not run to its end."""
        self.calls.ask("StopMerge", id=id)

    def delete(self, *ids: str) -> None:
        """Delete merges with their logs; their checkpoints stay."""
        from atelier_webui.contract.api.merges import DeleteMergesRequest

        self.calls.ask("DeleteMerges", DeleteMergesRequest(merge_id_list=ids))
