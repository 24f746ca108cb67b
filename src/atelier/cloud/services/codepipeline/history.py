"""The runs of all pipelines: kept in memory to be read often, written through on every move."""

from __future__ import annotations

from collections.abc import Iterator

from atelier.cloud.services.codepipeline.runs import Run, from_record, to_record
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Store


class History:
    """All runs, oldest first."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("codepipeline.executions")
        self._runs = {key: from_record(record) for key, record in self._table.items()}

    def put(self, run: Run) -> None:
        """Keep the run: in the store first, so that nobody sees a move that a kill could undo."""
        self._table.put(run.id, to_record(run))
        self._runs[run.id] = run

    def get(self, run_id: str) -> Run:
        """Return a run; raise KeyError."""
        return self._runs[run_id]

    def find(self, pipeline: str, run_id: str) -> Run:
        """Return a run of this pipeline; raise PipelineExecutionNotFoundException."""
        run = self._runs.get(run_id)
        if run is None or run.pipeline != pipeline:
            raise ServiceError(
                "PipelineExecutionNotFoundException",
                f"The execution '{run_id}' could not be found for the pipeline '{pipeline}'",
            )
        return run

    def of(self, pipeline: str) -> list[Run]:
        """Return a pipeline's runs, oldest first."""
        return [run for run in self._runs.values() if run.pipeline == pipeline]

    def all(self) -> Iterator[Run]:
        """Yield all runs."""
        return iter(list(self._runs.values()))

    def forget(self, pipeline: str) -> None:
        """Forget a pipeline's runs."""
        for run in self.of(pipeline):
            self._table.delete(run.id)
            del self._runs[run.id]
