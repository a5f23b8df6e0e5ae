"""`offbus gateway`: what it takes; cheap to import. `offbus_steps.gateway` does the work."""

from pathlib import Path

import click

from offbus.cli.commands.options import env_set_option, runs_option

__all__ = ["gateway"]

EPILOG = """\b
Examples:
  On this machine, for a sandbox that is up (`offbus local up` starts one by itself):
    offbus gateway --env local --token-file token
  In a cluster, as deploy/gateway runs it:
    offbus gateway --env kubernetes --host 0.0.0.0 --config gateway.yaml --kubernetes-auth
  For clients of the published API that send no token, on a trusted network:
    offbus gateway --env kubernetes --host 0.0.0.0 --config gateway.yaml --allow-tokenless
  Then, as the published guides have it:
    curl -X POST http://localhost:8080/api/v1/faults/gpu/inject/xid-79 -H "Authorization: Bearer $(cat token)" \\
      -H "Content-Type: application/json" -d '{"node_name": "node-1", "gpu_id": 0}'

\b
Exit codes: 0 stopped by a signal, everything undone; 2 usage error; 3 could not serve; 4 something is not undone.
"""


@click.command(epilog=EPILOG, short_help="Serve the published fault injection API; each fault is a run.")
@click.option(
    "--env", default="kubernetes", show_default=True, metavar="NAME", help="The environment that it serves."
)
@env_set_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Guards, nodes, limits: YAML (docs/gateway.md).",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Listen on this port; 0: any free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File with the token that callers show, one a line; must not be world-readable.",
)
@click.option(
    "--kubernetes-auth",
    is_flag=True,
    help="Admit the cluster's users: by TokenReview, and their rights on `faults.offbus.dev`.",
)
@click.option(
    "--allow-tokenless",
    "tokenless",
    is_flag=True,
    help="Serve calls that show no token: everybody who reaches it can inject faults.",
)
@runs_option
@click.option(
    "--audit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Add the audit log's JSON lines to this file.  [default: standard output]",
)
@click.option(
    "--address-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the address there; then any free port is taken if --port is in use.",
)
@click.option("--ready-fd", type=int, hidden=True, help="Write one byte to this descriptor when it serves.")
def gateway(
    env: str,
    env_sets: dict[str, str],
    config: Path | None,
    host: str,
    port: int,
    token_file: Path | None,
    *,
    kubernetes_auth: bool,
    tokenless: bool,
    runs: Path | None,
    audit: Path | None,
    address_file: Path | None,
    ready_fd: int | None,
) -> None:
    """Serve the published fault injection API (port 8080): its routes, payloads and answers.

    Each fault is a run like one of `offbus run`: the same preflight, guards, journal, undo and Lease, one at a time. It
    is undone by a recover or DELETE, when its time is over, when the gateway is stopped, and by the reaper or
    `offbus recover` when the gateway was killed.
    """
    from offbus_steps.gateway.program import Options, serve_gateway

    code = serve_gateway(
        Options(
            env=env,
            env_sets=env_sets,
            config=config,
            host=host,
            port=port,
            token_file=token_file,
            kubernetes_auth=kubernetes_auth,
            tokenless=tokenless,
            runs=runs,
            audit=audit,
            address_file=address_file,
            ready_fd=ready_fd,
        )
    )
    raise click.exceptions.Exit(code)
