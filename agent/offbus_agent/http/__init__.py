"""The agent's HTTP interface: server, routes, token, OpenAPI."""
