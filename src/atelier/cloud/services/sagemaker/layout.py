"""The folder that a training container sees as /opt/ml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atelier.cloud.services.wire import Document

HOST = "algo-1"
FAILURE_BYTES = 4096


class Layout:
    """The places below /opt/ml, made for one training job."""

    def __init__(self, root: Path, request: Document) -> None:
        self.root = root
        self.config = root / "input" / "config"
        self.data = root / "input" / "data"
        self.model = root / "model"
        self.output = root / "output" / "data"
        self.checkpoints: Path | None = None
        if checkpoints := request.get("CheckpointConfig"):
            self.checkpoints = self.place(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
        self._failure = root / "output" / "failure"
        self._write(request)

    def place(self, path: str) -> Path:
        """Return where a path below /opt/ml is on this machine."""
        return self.root / path.removeprefix("/opt/ml").strip("/")

    def channel(self, name: str) -> Path:
        """Return a channel's folder."""
        return self.data / name

    def failure(self) -> str:
        """Return what the container wrote about its failure."""
        try:
            with self._failure.open("rb") as file:
                return file.read(FAILURE_BYTES).decode(errors="replace").strip()
        except OSError:
            return ""

    def _write(self, request: Document) -> None:
        for folder in (self.config, self.data, self.model, self.output, self.checkpoints):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        for name, document in _configuration(request).items():
            (self.config / f"{name}.json").write_text(json.dumps(document))


def _configuration(request: Document) -> dict[str, Any]:
    instance = request["ResourceConfig"]["InstanceType"]
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [HOST]}
    return {
        "hyperparameters": request.get("HyperParameters", {}),
        "resourceconfig": {
            "current_host": HOST,
            "current_instance_type": instance,
            "current_group_name": group["instance_group_name"],
            "hosts": [HOST],
            "instance_groups": [group],
            "network_interface_name": "lo",
        },
        "inputdataconfig": {
            channel["ChannelName"]: {
                "TrainingInputMode": "File",
                **(
                    {"S3DistributionType": "FullyReplicated"}
                    if "S3DataSource" in channel["DataSource"]
                    else {}
                ),
                "RecordWrapperType": "None",
                **({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}),
            }
            for channel in request.get("InputDataConfig", [])
        },
    }
