"""What the three parts of the controller have in common: the cluster, the datastore, the settings, the delays.

Each part takes a node's next step and says when it wants to be asked again; the datastore's documents are all that they
know of one another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.controller.delays import Due
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.datastore import Datastore, Document
from offbus_steps.port import Objects

__all__ = ["NOW", "Part"]

NOW = 0.0
"""To be looked at again at once: something was changed."""


@dataclass
class Part(ABC):
    """Acts on the nodes of one cluster. `utc` is the wall clock that marks and objects' timestamps refer to."""

    objects: Objects
    store: Datastore
    config: ResponderConfig
    due: Due
    utc: Callable[[], datetime]

    @abstractmethod
    async def look(self, node: NodeView, documents: Sequence[Document]) -> float | None:
        """Take the node's next step; seconds until it wants to be asked again, None for "when something changes"."""
