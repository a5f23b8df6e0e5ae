"""Makes the agents' token: `python -m offbus_steps.kubernetes.token [--context NAME] [--namespace offbus-system]`.

The token is made here, of 32 random bytes, and goes to the API server alone: never to a file, a command line or the
screen. A Secret that exists is left alone, unless `--renew` asks for another token; agents and runners read it anew.
Exit codes: 0 made or there already, 3 the cluster refused.
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
from offbus_steps.port import Conflict, Object

__all__ = ["main", "make_token"]

BYTES = 32


async def make_token(port: KubernetesPort, namespace: str, *, renew: bool) -> bool:
    """Make the Secret; whether there is a new token. Raises PortError."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        await port.api.json(Call("POST", path, body=_secret(namespace)))
    except Conflict:
        if not renew:
            return False
        patch = {"data": _secret(namespace)["data"]}
        await port.api.json(Call("PATCH", f"{path}/{TOKEN_SECRET}", body=patch, content_type=MERGE_PATCH))
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    args = _parser().parse_args(argv)
    try:
        made = anyio.run(_make, args)
    except OffbusError as err:
        print(f"offbus: {err}", file=sys.stderr)
        return Exit.COULD_NOT_RUN
    print(f"Secret {args.namespace}/{TOKEN_SECRET}: {'a new token' if made else 'left as it was'}")
    return Exit.PASSED


async def _make(args: argparse.Namespace) -> bool:
    async with open_port(Login(args.kubeconfig, args.context)) as port:
        return await make_token(port, args.namespace, renew=args.renew)


def _secret(namespace: str) -> Object:
    token = base64.b64encode(secrets.token_urlsafe(BYTES).encode()).decode()
    meta = {"name": TOKEN_SECRET, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "offbus"}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta,
        "type": "Opaque",
        "data": {"token": token},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="offbus_steps.kubernetes.token", description=__doc__)
    parser.add_argument("--context", default="", help="context of the kubeconfig; default: the current one")
    parser.add_argument("--kubeconfig", default="", help="kubeconfig file; default: as kubectl finds it")
    parser.add_argument("--namespace", default=AGENT_NAMESPACE, help="where the agents are")
    parser.add_argument("--renew", action="store_true", help="replace the token that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
