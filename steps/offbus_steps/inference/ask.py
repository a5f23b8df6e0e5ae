"""Sends inference requests for steps: finds the target's model, keeps each target's answers, records outages.

After an injection it records in lane `requests`: the first good answer to a request that began after it, the first
failure, and the first good answer after that.
"""

from dataclasses import replace
from datetime import timedelta

from offbus.errors import StepError
from offbus.recorder import Recorder
from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inference.headers import sent
from offbus_steps.inference.step_types import AskParams
from offbus_steps.inference.strangers import note_strangers
from offbus_steps.inference_client.requests import Asked, Question, ask, model_of
from offbus_steps.port import PortError
from offbus_steps.workloads.target import Target

__all__ = ["ask_frontend", "question_for"]


async def question_for(ctx: Context, cluster: Cluster, target: Target, params: AskParams) -> Question:
    """The question. The target's model is looked up once per run; raises StepError when that fails."""
    await note_strangers(ctx, cluster, target)
    answers = cluster.answers_of(target.ref)
    headers = await sent(ctx, params.headers)
    question = Question("", params.prompt, params.max_tokens, params.stream, headers, ctx.without_secrets)
    if params.model is None and not answers.model:
        within_s = params.request_timeout.total_seconds()
        try:
            listed = await model_of(cluster.port.traffic, target.ref, target.port, within_s, question)
        except PortError as err:
            why = question.hide(err.message)
            raise StepError(f"cannot list the models of {target}: {why}", hint="set `model`") from None
        if not listed:
            hint = "wait until a worker has registered, or set `model`"
            raise StepError(f"{target} lists no model", hint=hint)
        answers.model = listed
    return replace(question, model=params.model or answers.model)


async def ask_frontend(
    cluster: Cluster, run: Recorder, target: Target, question: Question, within: timedelta
) -> Asked:
    """Ask the target as its clients do; the answer counts for recovery."""
    asked = await ask(cluster.port.traffic, target.ref, target.port, question, within.total_seconds())
    _note(cluster, run, target, asked)
    cluster.answers_of(target.ref).ended.append(asked.outcome)
    return asked


def _note(cluster: Cluster, run: Recorder, target: Target, asked: Asked) -> None:
    """Each is recorded once per fault: behind a frontend good and failed answers may alternate for a while."""
    own = [fault for fault, live in cluster.faults.live.items() if live.target.ref == target.ref]
    if not own or asked.outcome.path_error:
        return
    answers, newest, subject = cluster.answers_of(target.ref), own[-1], str(target)
    since = cluster.faults.live[newest].fault.injected_ns
    if asked.outcome.good and asked.outcome.begun_ns >= since and answers.first_good_in != newest:
        answers.first_good_in = newest
        evidence = {"status": asked.status, "latency_s": round(asked.outcome.latency_s, 6), "fault": newest}
        run.observed(
            lane="requests", subject=subject, to="first good answer after the fault", evidence=evidence
        )
    if not asked.outcome.good and answers.failed_in != newest:
        answers.failed_in = newest
        run.observed(
            lane="requests",
            subject=subject,
            was="answering",
            to="failing",
            evidence={"why": asked.why},
            tone="bad",
            brief=asked.why,
        )
    elif asked.outcome.good and answers.failed_in == newest != answers.answered_in:
        answers.answered_in = newest
        run.observed(lane="requests", subject=subject, was="failing", to="answering", tone="good")
