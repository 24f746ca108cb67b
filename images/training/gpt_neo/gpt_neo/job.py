"""A training job: what SageMaker laid out is read and checked, then learned from."""

import json
import tempfile
from pathlib import Path

from gpt_neo import corpus, settings
from gpt_neo.errors import Failure
from gpt_neo.stopping import Stopping


def run(base: Path, stopping: Stopping) -> None:
    """Train as /opt/ml (*base*) says, and leave the model there."""
    _alone(base / "input" / "config" / "resourceconfig.json")
    chosen = settings.read(base / "input" / "config" / "hyperparameters.json")
    documents = corpus.read(corpus.channel(base / "input" / "data"))
    text = corpus.split(documents, share=chosen.held_out, seed=chosen.seed)
    # torch takes seconds to import: what can fail without it has failed by now.
    from gpt_neo.training import Training

    with tempfile.TemporaryDirectory() as scratch:
        shared = corpus.shared(base / "input" / "data")
        training = Training(chosen, text, base / "checkpoints", Path(scratch), shared)
        training.learn(stopping)
        training.write(base / "model")


def _alone(path: Path) -> None:
    """Refuse several instances: each would train a model of its own, and all would write the same file."""
    hosts = json.loads(path.read_text(encoding="utf-8")).get("hosts", []) if path.exists() else []
    if len(hosts) > 1:
        raise Failure(f"this container trains on one instance, not on {len(hosts)}: set InstanceCount to 1")
