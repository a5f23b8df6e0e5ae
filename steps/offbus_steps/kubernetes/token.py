"""Creates the agents' token: `python -m offbus_steps.kubernetes.token [--context NAME] [--namespace offbus-system]`.

The token is made of 32 random bytes and sent only to the API server: never to a file, a command line or the screen. An
existing Secret is not changed, unless `--renew` asks for a new token; agents and runners then read it again. Exit
codes: 0 created or already there, 3 the cluster refused.
"""

import argparse
import base64
import secrets
import sys

import anyio

from offbus.errors import OffbusError
from offbus.exits import Exit
from offbus_steps.kubernetes.agents import TOKEN_SECRET
from offbus_steps.kubernetes.objects import MERGE_PATCH
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort, open_port
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import Conflict

__all__ = ["main", "make_token"]

BYTES = 32


async def make_token(port: KubernetesPort, namespace: str, *, renew: bool) -> bool:
    """Create the Secret. Returns whether there is a new token. Raises PortError."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    meta = {"name": TOKEN_SECRET, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "offbus"}}
    data = {"token": base64.b64encode(secrets.token_urlsafe(BYTES).encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data}
    try:
        await port.api.json(Call("POST", path, body=secret))
    except Conflict:
        if not renew:
            return False
        patch = {"data": data}
        await port.api.json(Call("PATCH", f"{path}/{TOKEN_SECRET}", body=patch, content_type=MERGE_PATCH))
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="offbus_steps.kubernetes.token", description=__doc__)
    parser.add_argument("--context", default="", help="context of the kubeconfig; default: the current one")
    parser.add_argument("--kubeconfig", default="", help="kubeconfig file; default: as kubectl finds it")
    parser.add_argument("--namespace", default=AGENT_NAMESPACE, help="where the agents are")
    parser.add_argument("--renew", action="store_true", help="replace an existing token")
    args = parser.parse_args(argv)
    try:
        made = anyio.run(_make, args)
    except OffbusError as err:
        print(f"offbus: {err}", file=sys.stderr)
        return Exit.COULD_NOT_RUN
    print(f"Secret {args.namespace}/{TOKEN_SECRET}: {'a new token' if made else 'not changed'}")
    return Exit.PASSED


async def _make(args: argparse.Namespace) -> bool:
    async with open_port(Login(args.kubeconfig, args.context)) as port:
        return await make_token(port, args.namespace, renew=args.renew)


if __name__ == "__main__":
    sys.exit(main())
