"""A faulted node as the undo of its consequences sees it: which of the responder's marks are this fault's own, now."""

from dataclasses import dataclass

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.node_marks import NodeMarks
from offbus_steps.nvsentinel.cause import Share
from offbus_steps.port import NotFound
from offbus_steps.watch.node_history import Seen
from offbus_steps.watch.projections import MaintenanceProjection, NodeProjection

__all__ = ["QuarantinedNode"]


@dataclass(frozen=True, slots=True)
class QuarantinedNode:
    """One node, and the fault on it. Everything is read off the watches of the open cluster."""

    cluster: Cluster
    name: str
    fault: str
    before: NodeMarks

    @property
    def now(self) -> NodeProjection:
        """The node. Raises NotFound."""
        node = self.cluster.log.world.node(self.name)
        if node is None:
            raise NotFound(f"Node/{self.name} is gone")
        return node

    @property
    def seen(self) -> Seen:
        """What was seen on the node since the injection; in another process, since that began to watch."""
        return self.cluster.history.since(self.name, self.cluster.injected.get(self.fault, 0))

    @property
    def share(self) -> Share:
        """Whose the quarantine is."""
        return self.share_of(self.now)

    def share_of(self, node: NodeProjection) -> Share:
        """Whose the quarantine of a node that was read is."""
        return self.before.share(node, self.seen, complete=self.fault in self.cluster.injected)

    @property
    def is_held(self) -> bool:
        """Whether the responder holds the node for this fault."""
        return self.before.held(self.now) and self.share is not Share.OTHERS

    @property
    def is_reported(self) -> bool:
        """Whether the node's conditions report the fault."""
        return self.before.reported(self.now)

    @property
    def is_clear(self) -> bool:
        """Whether the responder is done with the fault: it neither holds the node for it nor reports it."""
        return not self.is_held and not self.is_reported

    @property
    def is_marked(self) -> bool:
        """Whether the responder's marks, or a cordon that may be its own, are not as before because of the fault."""
        return self.before.marked(self.now) and self.share is not Share.OTHERS

    @property
    def reacted(self) -> bool:
        """Whether the responder has answered the fault at all, as far as was seen."""
        if self.is_reported or self.before.cause.mine(self.before.fresh(self.seen)):
            return True
        return self.is_marked

    def is_own(self, made: MaintenanceProjection, node: NodeProjection, share: Share) -> bool:
        """Whether a maintenance resource is for this fault; `node` and `share` are from before any of it was undone."""
        tracked = {*self.seen.tracked, *node.tracked} - self.before.tracked
        if not tracked and not made.gpus:
            return share is Share.OWN
        return self.before.cause.asked_for(made.ref.name, made.node, made.gpus, tracked)
