"""Which kubeconfig and context are used, credentials and connections, by kubernetes_asyncio (`lean_client`).

Its loaders read kubeconfig files (client certificates, tokens, exec plugins, OIDC) and the in-cluster service account;
its configured HTTP session carries everything. What a kubeconfig names is executed, and sent to the server in it: that
the user chose it is for whoever makes a Login to see to (`KubernetesOptions`, `journaled_state`). `renew` reads the
credentials again, for tokens and certificates that have expired: open streams stay on the session that they began on.
Abandoned connections are aborted at once (offbus_steps.kubernetes.rest.abort_on_close), and no socket is open when a
Connection has ended. Failures are CouldNotRun naming file and context; no message contains a token.

The only module that uses parts of kubernetes_asyncio that its documentation does not name (decision 0014): it has no
raw REST that streams, so its `ApiClient.rest_client` is asked for the aiohttp session (`pool_manager`) and its routing
(`proxy`, `proxy_headers`, `server_hostname`), and its `Configuration` for the key "BearerToken". When an attribute
goes, no connection can be opened: an AttributeError, at once. When the key changes, requests carry no token and the API
server answers 401.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.lowlevel

from offbus.errors import CouldNotRun
from offbus.userinfo import without_userinfo
from offbus_steps.kubernetes.rest.kubeconfig_check import checked_kubeconfig, without_logins

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Connection", "Login"]

USER_AGENT = "offbus"
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""In every pod with a service account (kubernetes.io/docs/tasks/run-application/access-api-from-pod)."""
READ_BUFFER = 1 << 21
"""Bytes, as kubernetes_asyncio has it: an object of a watch may have 1.5 MiB."""


@dataclass(frozen=True, slots=True)
class Login:
    """Which cluster, and which credentials. "" means: as kubectl would choose."""

    kubeconfig: str = ""
    context: str = ""

    @property
    def file(self) -> Path:
        """The kubeconfig file: the one given, else the first of $KUBECONFIG that exists, else ~/.kube/config."""
        if self.kubeconfig:
            return Path(self.kubeconfig).expanduser()
        named = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
        return next((one for one in named if one.exists()), (named or [Path.home() / ".kube" / "config"])[0])

    @property
    def in_cluster(self) -> bool:
        """Whether to use the service account of our pod: nothing else was configured or found."""
        asked = self.kubeconfig or self.context
        return not asked and not self.file.exists() and "KUBERNETES_SERVICE_HOST" in os.environ

    @property
    def current_context(self) -> str:
        """The context that is used when none is named; "" when there is none, or the file cannot be read."""
        try:
            return checked_kubeconfig(self.file).get("current-context") or ""
        except (OSError, ValueError):
            return ""

    @property
    def namespace(self) -> str:
        """The one that kubectl takes when none is named: the context's, in a pod the pod's, else `default`."""
        try:
            if self.in_cluster:
                return POD_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
            contexts = checked_kubeconfig(self.file)["contexts"]
        except (OSError, ValueError):
            return "default"
        wanted = self.context or self.current_context
        found: dict[str, Any] = next((one["context"] for one in contexts if one["name"] == wanted), {})
        return str(found.get("namespace") or "default")

    def __str__(self) -> str:
        if self.in_cluster:
            return "the in-cluster service account"
        return f"{self.file}" + (f", context {self.context!r}" if self.context else "")


class Connection:
    """An HTTP session with one API server, its credentials renewed when they expire."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._client: Any = None
        self._retired: list[Any] = []

    async def __aenter__(self) -> Self:
        self._client = await self._load()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):  # nothing here waits for the server
            for client in (*self._retired, self._client):
                await client.close()
            await anyio.lowlevel.checkpoint()  # closes the sockets that were just aborted

    @property
    def server(self) -> str:
        """The API server's address, without a slash at its end; for requests: it may hold a password."""
        return str(self._client.configuration.host).rstrip("/")

    @property
    def shown_server(self) -> str:
        """The address as it is printed and journaled."""
        return without_userinfo(self.server)

    @property
    def generation(self) -> int:
        """Counts renewals: a call that failed with an older generation need not renew again."""
        return len(self._retired)

    @property
    def session(self) -> "aiohttp.ClientSession":
        """The session, its TLS set up."""
        session: aiohttp.ClientSession = self._client.rest_client.pool_manager
        return session

    @property
    def routing(self) -> Mapping[str, Any]:
        """How each request is routed: through an HTTP proxy, with another server name for TLS."""
        rest = self._client.rest_client
        routes = {
            "proxy": rest.proxy,
            "proxy_headers": rest.proxy_headers,
            "server_hostname": rest.server_hostname,
        }
        return {key: value for key, value in routes.items() if value}

    async def headers(self) -> dict[str, str]:
        """Authorization, refreshed by the loader's own rule (in a pod: the token file is read again)."""
        # kubernetes_asyncio's loaders store "Bearer <token>" or "Basic …" whole under this key
        key = await self._client.configuration.get_api_key_with_prefix("BearerToken")
        return {"User-Agent": USER_AGENT, **({"Authorization": key} if key else {})}

    async def renew(self, generation: int) -> None:
        """Read the credentials again, once for all calls that failed with this generation. Raises CouldNotRun."""
        if generation != self.generation:
            return
        fresh = await self._load()
        if generation != self.generation:  # another call has renewed them already
            await fresh.close()
            return
        self._retired.append(self._client)
        self._client = fresh

    async def _load(self) -> Any:
        from offbus_steps.kubernetes.rest.abort_on_close import end_at_once
        from offbus_steps.kubernetes.rest.lean_client import client

        parts = client()
        config, configuration = parts.config, parts.configuration()
        configuration.connection_pool_maxsize = (
            0  # watches are long-lived: a pool must not bound their number
        )
        checked: dict[str, Any] = {"users": []}
        try:
            if self._login.in_cluster:
                config.load_incluster_config(client_configuration=configuration)
            else:
                checked = checked_kubeconfig(self._login.file)
                await config.load_kube_config(
                    config_file=str(self._login.file),
                    context=self._login.context or None,
                    client_configuration=configuration,
                )
            made = parts.api_client(configuration)
        except Exception as err:
            said = " ".join(str(err).split())
            if isinstance(err, OSError) and err.strerror:
                said = err.strerror
            elif not isinstance(err, ValueError):
                said = f"{type(err).__name__}: {said}"
            raise CouldNotRun(
                f"cannot use {self._login}: {without_logins(said, checked)}",
                hint="choose a cluster with environment.context or --env-set kubeconfig=…; "
                "`kubectl config get-contexts` lists them",
            ) from err
        made.rest_client.pool_manager = _without_cookies(made.rest_client.pool_manager)
        end_at_once(made.rest_client.pool_manager)
        return made


def _without_cookies(session: "aiohttp.ClientSession") -> "aiohttp.ClientSession":
    """The same connections, without a memory: through the API server's proxy, targets and agents can set cookies."""
    import aiohttp

    connector = session.connector
    session.detach()
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=session.trust_env,
        read_bufsize=READ_BUFFER,
    )
