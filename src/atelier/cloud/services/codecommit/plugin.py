"""What CodeCommit plugs into the gateway."""

from __future__ import annotations

from atelier.cloud.services.codecommit import differences
from atelier.cloud.services.codecommit.service import REPOSITORY, SERVICE
from atelier.cloud.services.plugin import Plugin

OPERATIONS = (differences,)
"""The modules beside the service's own whose functions register on it when they are imported."""

PLUGIN = Plugin(scope="codecommit", service=SERVICE, resources=(REPOSITORY,))
