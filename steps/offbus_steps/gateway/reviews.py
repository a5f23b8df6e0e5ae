"""Asks the cluster who a token's user is, and what they may: TokenReview and SubjectAccessReview."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offbus_steps.gateway.callers import GROUP, RESOURCE
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call

__all__ = ["ClusterReviews"]

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True, slots=True)
class ClusterReviews:
    """Of the cluster behind a port (offbus_steps.gateway.callers.Reviews)."""

    port: KubernetesPort

    async def user_of(self, token: str) -> Mapping[str, Any] | None:
        """See `Reviews.user_of`."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = (await self.port.api.json(Call("POST", TOKENS, body=body))).get("status") or {}
        return status.get("user") if status.get("authenticated") else None

    async def allows(self, user: Mapping[str, Any], verb: str, node: str) -> bool:
        """See `Reviews.allows`."""
        attributes = {"group": GROUP, "resource": RESOURCE, "verb": verb}
        attributes |= {"name": node} if node else {}
        spec: dict[str, Any] = {"user": user.get("username", ""), "resourceAttributes": attributes}
        spec |= {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        status = (await self.port.api.json(Call("POST", ACCESS, body=body))).get("status") or {}
        return bool(status.get("allowed")) and not status.get("denied")
