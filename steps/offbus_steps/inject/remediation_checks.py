"""Preflight checks of what a responder would do about an XID: to the node, and whether to a real machine.

By the catalogue, by what the node's monitor can know (`offbus_steps.inject.expected`), and by what is deployed. Pure.
"""

from collections.abc import Iterator, Sequence

from offbus.preflight import PreflightCheck
from offbus_steps.inject.expected import Expected
from offbus_steps.nvsentinel.deployed import Deployed

__all__ = ["remediation_checks"]


def remediation_checks(
    topic: str, xid: int, expected: Sequence[Expected], responders: Deployed
) -> Iterator[PreflightCheck]:
    """What a responder would do about an XID, by the catalogue, by its monitors and by what is deployed."""
    from offbus_agent.catalogue.catalogue import lookup

    what = f"XID {xid} ({lookup(xid).mnemonic})"
    if not any(one.actions for one in expected):
        yield PreflightCheck(topic, f"{what}: no kernel line, so no responder sees it")
        return
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for one in expected:
        alike.setdefault((one.actions, one.basis), []).append(one.node)
    for (actions, basis), nodes in alike.items():
        why = f" ({', '.join(nodes)}: {basis})" if basis else ""
        yield PreflightCheck(
            topic, f"{what}: {_would_do(actions)}{why}", "info" if len(actions) == 1 else "warning"
        )
    fatal = dict.fromkeys(action for one in expected for action in one.possible if one.cordons)
    for told in (
        f"for {action} {one.name} {what}"
        for action in fatal
        for one in responders.requesters
        if (what := one.told(action))
    ):
        yield PreflightCheck(topic, told)
    reasons = dict.fromkeys(why for action in fatal for why in responders.real(action))
    for why in reasons:
        yield PreflightCheck(topic, f"real remediation: {why}", "warning")
    if fatal and not reasons:
        yield PreflightCheck(topic, "the deployed responders would not really reboot or reset a machine")


def _would_do(actions: Sequence[str]) -> str:
    fatal = [action for action in actions if action != "NONE"]
    if not fatal:
        return "not fatal for NVSentinel, which only reports an event"
    done = f"NVSentinel cordons and drains the node, then {' or '.join(fatal)}; a synthetic XID never clears by itself"
    return done if len(fatal) == len(actions) else f"either not fatal for NVSentinel, or {done}"
