"""The datasets, trainings and merges of the middleware in memory; they work at once.

What a result is called decides what becomes of it: `slow` goes on until `finish`, `fail` fails.
"""

from __future__ import annotations

import io
import threading
import uuid
from datetime import datetime, timezone
from typing import Any

from PIL import Image
from standin_people import Refused


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")  # noqa: UP017


class Work:
    """What artists have the cloud make of their own."""

    url: str
    lock: threading.RLock
    objects: dict[str, bytes]
    checkpoints: dict[str, dict[str, Any]]
    datasets: dict[str, dict[str, Any]]
    trainings: dict[str, dict[str, Any]]
    merges: dict[str, dict[str, Any]]
    page_of_files = 500
    """Files of a dataset that one answer has."""

    def _settle_work(self) -> None:
        self.datasets, self.trainings, self.merges = {}, {}, {}

    def finish_work(self) -> None:
        """Complete what is slow."""
        with self.lock:
            for each in (*self.trainings.values(), *self.merges.values()):
                if each["status"] == "InProgress":
                    self._complete(each)
            for each in self.datasets.values():
                if each.get("crop", {}).get("status") == "InProgress":
                    each["crop"]["status"], each["status"] = "Completed", "Enabled"

    @staticmethod
    def paint(colour: str) -> bytes:
        """Return a picture of one colour."""
        written = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(written, "PNG")
        return written.getvalue()

    # datasets

    def dataset(self, name: str, status: str = "Enabled", **files: bytes) -> dict[str, Any]:
        """Make a dataset of files, by their names with two underscores for a dot."""
        row = {"datasetName": name, "s3": f"s3://bucket/{name}", "status": status, "timestamp": now()}
        self.datasets[name] = {**row, "description": "", "creator": "anna", "prefix": "", "files": {}}
        for file, body in files.items():
            key = file.replace("__", ".")
            self.datasets[name]["files"][key] = "text" if key.endswith(".txt") else "image"
            self.objects[f"{name}/{key}"] = body
        return self.datasets[name]

    def _ListDatasets(self, query: dict[str, Any], user: str, **_: Any) -> Any:
        self._allow(user, "train:all")
        wanted = query.get("dataset_status", [None])[0]
        found = [_row(each) for each in self.datasets.values() if wanted in {None, each["status"]}]
        return 200, {"datasets": found[::-1], "last_evaluated_key": None}, "OK"

    def _CreateDataset(self, body: Any, **_: Any) -> Any:
        name = body["dataset_name"]
        if self.datasets.get(name, {"status": "Initialed"})["status"] != "Initialed":
            raise Refused(400, f"dataset {name} already exists")
        made = self.datasets.get(name) or self.dataset(name, "Initialed")
        made["description"] = (body.get("params") or {}).get("description", "")
        made["files"] |= {each["filename"]: each["type"] for each in body["content"]}
        links = {each["filename"]: f"{self.url}s3/{name}/{each['filename']}" for each in body["content"]}
        return 201, {"datasetName": name, "s3PresignUrl": links}, "Dataset created"

    def _GetDataset(self, path: dict[str, str], query: dict[str, Any], **_: Any) -> Any:
        found = self._dataset(path["id"])
        start = int(query.get("exclusive_start_key", ["0"])[0])
        names = list(found["files"])
        shown = names[start : start + self.page_of_files]
        last = str(start + len(shown)) if start + len(shown) < len(names) else None
        files = [self._file(found, each) for each in shown]
        told = {**_row(found), "dataset_name": path["id"], "prefix": ""}
        return 200, {**told, "data": files, "last_evaluated_key": last}, "OK"

    def _file(self, dataset: dict[str, Any], name: str) -> dict[str, Any]:
        key = f"{dataset['datasetName']}/{name}"
        body = self.objects.get(key)
        state: dict[str, Any] = {"dataStatus": "Initialed" if body is None else "Enabled"}
        if body is not None:
            state["size"] = len(body)
            if dataset["files"][name] == "image" and not body.startswith(b"\x89PNG"):
                state |= {"dataStatus": "Disabled", "reason": "this is no image"}
        named = {"key": key, "name": name, "original_file_name": name, "type": dataset["files"][name]}
        return {**named, "preview_url": f"{self.url}s3/{key}", **state}

    def _UpdateDataset(self, path: dict[str, str], body: Any, **_: Any) -> Any:
        found = self._dataset(path["id"])
        if body["status"] == "Enabled" and not any(
            f"{path['id']}/{name}" in self.objects for name, kind in found["files"].items() if kind == "image"
        ):
            raise Refused(400, f"dataset {path['id']} has no image yet")
        found["status"] = body["status"]
        return 200, {"datasetName": path["id"], "status": body["status"]}, "Dataset updated"

    def _CropDataset(self, path: dict[str, str], body: Any, **_: Any) -> Any:
        found, size = self._dataset(path["id"]), body["max_resolution"]
        name = f"{path['id']}_{size}"
        if name in self.datasets:
            raise Refused(400, f"dataset {name} already exists")
        files = {each.replace(".", "__"): self.objects[f"{path['id']}/{each}"] for each in found["files"]}
        made = self.dataset(name, "Initialed", **files)
        made["crop"] = {"of": path["id"], "max_resolution": size, "status": "InProgress"}
        return 202, {"dataset_name": name}, "Dataset cropping"

    def _DeleteDatasets(self, body: Any, **_: Any) -> Any:
        for name in body["dataset_name_list"]:
            self.datasets.pop(name, None)
        return 204, None, ""

    def _dataset(self, name: str) -> dict[str, Any]:
        if name not in self.datasets:
            raise Refused(404, f"dataset {name} is not found")
        return self.datasets[name]

    # trainings

    def _CreateTraining(self, body: Any, user: str, **_: Any) -> Any:
        on, config = body["params"]["training_params"], body["params"]["config_params"]
        known = {name: each for each in self.checkpoints.values() for name in each["name"]}
        if on["model"] not in known:
            raise Refused(400, f"Model not found: {on['model']}")
        status = self.datasets.get(on["dataset"], {}).get("status")
        if status is None:
            raise Refused(400, f"Dataset not found: {on['dataset']}")
        if status != "Enabled":
            raise Refused(400, f"dataset {on['dataset']} is {status}: enable it first")
        id, output = str(uuid.uuid4()), config["output_name"]
        params = {"training_type": "kohya", "training_params": on, "config_params": config}
        row = {"id": id, "status": "InProgress", "created": now(), "creator": user, "params": params}
        row |= {"output": output, "type": "Lora", "kind": "lora", "base": known[on["model"]]["id"]}
        self.trainings[id] = self._begun(row)
        told = {name: row[name] for name in ("id", "status", "created", "params")}
        places = {"input_location": "s3://bucket/in", "output_location": "s3://bucket/out"}
        return 201, {**told, **places}, "training started"

    def _begun(self, row: dict[str, Any]) -> dict[str, Any]:
        """Let work become what its result's name says."""
        self.objects[f"work/{row['id']}/log.txt"] = f"{row['output']} begins\n".encode()
        if "fail" in row["output"]:
            row |= {"status": "Failed", "completed": now(), "error": "a.png is no image, nor is any other"}
        elif "slow" not in row["output"]:
            self._complete(row)
        return row

    def _complete(self, row: dict[str, Any]) -> None:
        made = self.checkpoint(  # type: ignore[attr-defined]
            f"{row['output']}.safetensors", type=row["type"], status="Active"
        )
        made["params"]["made_by"] = {"kind": row["kind"], "id": row["id"]}
        row |= {"status": "Completed", "completed": now(), "checkpoint_id": made["id"]}
        self.objects[f"work/{row['id']}/000002-0.png"] = self.paint("teal")

    def _ListTrainings(self, query: dict[str, Any], user: str, **_: Any) -> Any:
        self._allow(user, "train:all")
        found = [self._training_row(each) for each in self.trainings.values()][::-1]
        shown = found[: int(query["limit"][0])]
        return 200, {"trainings": shown, "last_evaluated_key": None}, "OK"

    @staticmethod
    def _training_row(each: dict[str, Any]) -> dict[str, Any]:
        kept = {name: each[name] for name in ("id", "status", "created", "params", "creator")}
        kept |= {"error": each["error"]} if "error" in each else {}
        return {
            **kept,
            "modelName": f"{each['output']}.safetensors",
            "trainType": "kohya",
            "sagemakerTrainName": "job",
        }

    def _GetTraining(self, path: dict[str, str], **_: Any) -> Any:
        found = self._worked(self.trainings, path["id"], "Job")
        steps = 4 if found["status"] == "InProgress" else 8
        metrics = [
            {"step": each, "epoch": 1 + each // 5, "loss": 0.8 / each, "lr": 1e-4, "at": now()}
            for each in range(1, steps + 1)
        ]
        link = f"{self.url}s3/work/{path['id']}"
        samples = ["000002-0.png"] if found["status"] == "Completed" else []
        told = {"id": path["id"], "job_status": found["status"], "model_id": found["base"]}
        told |= {"params": found["params"], "timestamp": found["created"], "train_type": "kohya"}
        told |= {"sagemaker_train_name": "job", "creator": found["creator"], "result": None}
        told["logs"] = [{"filename": "log.txt", "url": f"{link}/log.txt"}]
        told["samples"] = [{"filename": each, "url": f"{link}/{each}"} for each in samples]
        told |= {"metrics": metrics, "checkpoint_id": found.get("checkpoint_id")}
        told |= {name: found[name] for name in ("completed", "error") if name in found}
        return 200, told, "OK"

    def _StopTraining(self, path: dict[str, str], **_: Any) -> Any:
        return self._stopped(self._worked(self.trainings, path["id"], "Job"))

    def _DeleteTrainings(self, body: Any, **_: Any) -> Any:
        for id in body["training_id_list"]:
            self.trainings.pop(id, None)
        return 204, None, ""

    # merges

    def _MergeCheckpoints(self, body: Any, user: str, **_: Any) -> Any:
        known = {name: each for each in self.checkpoints.values() for name in each["name"]}
        if missing := [each for each in body["checkpoints"] if each not in known]:
            raise Refused(400, f"checkpoint with name {missing[0]} not found")
        parents = [{"id": known[each]["id"], "name": each, "sha256": None} for each in body["checkpoints"]]
        kept = {name: body[name] for name in ("method", "multiplier", "precision")}
        row = {"id": str(uuid.uuid4()), "status": "InProgress", "created": now(), "creator": user}
        row |= {**kept, "parents": parents, "output": body["output_name"]}
        row |= {"type": "Stable-diffusion", "kind": "merge"}
        self.merges[str(row["id"])] = self._begun(row)
        return 202, {"merge": self._merge_row(row)}, "merge started"

    def _ListMerges(self, **_: Any) -> Any:
        found = [self._merge_row(each) for each in self.merges.values()][::-1]
        return 200, {"merges": found, "last_evaluated_key": None}, "OK"

    @staticmethod
    def _merge_row(each: dict[str, Any]) -> dict[str, Any]:
        left_out = {"output", "type", "kind"}
        return {name: value for name, value in each.items() if name not in left_out} | {
            "output_name": each["output"]
        }

    def _GetMerge(self, path: dict[str, str], **_: Any) -> Any:
        found = self._worked(self.merges, path["id"], "merge")
        link = f"{self.url}s3/work/{path['id']}/log.txt"
        told = {**self._merge_row(found), "logs": [{"filename": "log.txt", "url": link}]}
        if found["status"] == "InProgress":
            told["progress"] = {"done": 400_000_000, "of": 2_000_000_000, "at": now()}
        return 200, told, "OK"

    def _StopMerge(self, path: dict[str, str], **_: Any) -> Any:
        return self._stopped(self._worked(self.merges, path["id"], "merge"))

    def _DeleteMerges(self, body: Any, **_: Any) -> Any:
        for id in body["merge_id_list"]:
            self.merges.pop(id, None)
        return 204, None, ""

    @staticmethod
    def _worked(rows: dict[str, dict[str, Any]], id: str, what: str) -> dict[str, Any]:
        if id not in rows:
            raise Refused(404, f"{what} with id {id} not found")
        return rows[id]

    @staticmethod
    def _stopped(row: dict[str, Any]) -> Any:
        if row["status"] in {"Completed", "Failed"}:
            raise Refused(400, f"{row['id']} is {row['status']}")
        row["status"] = "Stopped"
        return 200, {"id": row["id"], "status": "Stopped"}, "stopped"


def _row(dataset: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dataset.items() if name not in {"files", "prefix"}}
