"""Reports of runs that were finished in the cluster, where people can read them: one ConfigMap per run, a few kept.

    kubectl -n offbus-system get configmaps -l offbus.dev/report

Data: `summary` (one line, then a line for each residue with its fix), `report.json` (the report without its timeline
when the whole is too large), `journal.jsonl` (the newest part that fits). The `NEWEST` newest remain.
"""

import json

from offbus.files import read_bounded
from offbus.open_run import OpenRun
from offbus.printable import printable
from offbus.report.gaps import RESOLVED
from offbus.report.model import Report
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Conflict, NotFound, Ref

__all__ = ["REPORT_LABEL", "publish", "report_name"]

REPORT_LABEL = "offbus.dev/report"
NEWEST = 10
REPORT_BYTES = 384 * 1024
JOURNAL_BYTES = 384 * 1024
LARGEST_JOURNAL = 1 << 30


def report_name(run: str) -> str:
    """The name of a run's published report."""
    return f"offbus-report-{run}"


async def publish(port: KubernetesPort, namespace: str, report: Report, folder: OpenRun) -> None:
    """Publish a report; it replaces an older one of the same run. Raises PortError."""
    ref = Ref("ConfigMap", report_name(report.run), namespace)
    journal = read_bounded(folder.journal, LARGEST_JOURNAL, opener=folder.opener)
    if len(journal) > JOURNAL_BYTES:  # the newest whole lines that fit
        journal = journal[-JOURNAL_BYTES:].partition(b"\n")[2]
    data = {
        "summary": summary_of(report),
        "report.json": bounded(report),
        "journal.jsonl": journal.decode(errors="replace"),
    }
    meta = {"name": ref.name, "namespace": namespace, "labels": {REPORT_LABEL: report.run}}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    try:
        await port.objects.create(obj)
    except Conflict:
        await port.objects.patch(ref, {"data": data})
    # all but the newest reports go, by the server's own times
    published = (await port.objects.list("ConfigMap", namespace=namespace, labels=REPORT_LABEL)).items
    by_age = sorted(
        published,
        key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]),
        reverse=True,
    )
    for old in by_age[NEWEST:]:
        try:
            await port.objects.delete(Ref.of(old), uid=old["metadata"]["uid"])
        except (NotFound, Conflict):
            continue


def summary_of(report: Report) -> str:
    """The report in a few lines, each safe to print."""
    undone = sum(undo.result in RESOLVED for undo in report.undos)
    residue = f"{len(report.residue)} left" if report.residue else "residue: none"
    lines = [f"{report.name}, run {report.run}: {undone} of {len(report.undos)} undone, {residue}"]
    for one in report.residue[:50]:
        lines += [f"residue: {one.item}: {one.detail}", f"  fix: {one.fix}"]
    return "\n".join(map(printable, lines))


def bounded(report: Report) -> str:
    """The report as JSON, without its timeline, and then without its steps, when it is too large."""
    for dropped in ((), ("timeline",), ("timeline", "steps", "undos", "faults")):
        text = report.model_copy(update={key: [] for key in dropped}).model_dump_json()
        if len(text.encode()) <= REPORT_BYTES:
            return text
    return json.dumps({"run": report.run, "exit": report.exit, "residue": len(report.residue)})
