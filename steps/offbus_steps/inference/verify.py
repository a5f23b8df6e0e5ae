"""Runs `baseline` and `verify_inference`: does the target answer, and how fast.

With `node` the target's pods on that node are asked directly. For pods that serve no inference over HTTP, are gone
already, or were restarted before they were asked, the failure is proven by the shim's first faulted call together with
the end of their process.
"""

from collections.abc import Sequence
from datetime import timedelta

from offbus.errors import StepError, StepFailed
from offbus.step import Context
from offbus_steps.agents.each_fault import nodes_of
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inference.ask import ask_frontend, question_for
from offbus_steps.inference.process_exit import await_deaths, deaths
from offbus_steps.inference.step_types import (
    AskParams,
    BaselineParams,
    Expected,
    TrafficOutputs,
    VerifyParams,
)
from offbus_steps.inference_client.requests import Asked, Question, ask
from offbus_steps.inference_client.statistics import percentile, success_rate
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target, required_target

__all__ = ["baseline", "verify_inference"]


async def baseline(ctx: Context, params: BaselineParams) -> TrafficOutputs:
    """Ask the frontend, one request after the other."""
    cluster, target = cluster_of(ctx), required_target(params.target)
    question = await question_for(cluster, target, params)
    return _outputs(target, await _ask_frontend(ctx, cluster, target, question, params, params.requests))


async def verify_inference(ctx: Context, params: VerifyParams) -> TrafficOutputs:
    """Ask the frontend or the pods of a node, and compare with what is expected."""
    cluster, target = cluster_of(ctx), required_target(params.target)
    await cluster.observer.watch_target(target)
    question = await question_for(cluster, target, params)
    if params.node is None:
        asked = await _ask_frontend(ctx, cluster, target, question, params, params.requests)
    else:
        asked = await _ask_pods(ctx, cluster, target, question, params)
        if not any(_counts(one) for one in asked):
            return await _without_http(ctx, cluster, target, params)
    counted = [one for one in asked if _counts(one)]
    good = sum(one.outcome.good for one in counted)
    where = f"{target} on {params.node}" if params.node else str(target)
    if params.expect is Expected.FAILURE and good:
        if ended := _died_and_back(cluster, target, params):
            return _outputs(target, asked, ended)
        raise StepFailed(
            f"{where} answered {good} of {len(counted)} requests well: the fault does not show there"
        )
    if params.expect is Expected.SUCCESS and good < len(counted):
        first = next(one.why for one in counted if not one.outcome.good)
        raise StepFailed(f"{where} failed {len(counted) - good} of {len(counted)} requests; first: {first}")
    return _outputs(target, asked)


async def _ask_frontend(
    ctx: Context, cluster: Cluster, target: Target, question: Question, params: AskParams, requests: int
) -> list[Asked]:
    asked = []
    for number in range(requests):
        ctx.progress(f"{target}: request {number + 1} of {requests}")
        asked.append(await ask_frontend(cluster, ctx, target, question, params.request_timeout))
    return asked


async def _ask_pods(
    ctx: Context, cluster: Cluster, target: Target, question: Question, params: VerifyParams
) -> list[Asked]:
    """Ask the GPU pods on the node in turn; ends early when none remains."""
    asked: list[Asked] = []
    for number in range(params.requests):
        here = [
            pod for pod in target_pods(cluster.log.world, target) if pod.node == params.node and pod.active
        ]
        here = [pod for pod in here if pod.gpus and pod.http_port]
        if not here:
            break
        pod = here[number % len(here)]
        ctx.progress(f"{pod.ref.name}: request {number + 1} of {params.requests}")
        within_s = params.request_timeout.total_seconds()
        # this says nothing about what clients see, so it does not count for recovery
        asked.append(await ask(cluster.port.traffic, pod.ref, pod.http_port or 0, question, within_s))
    return asked


def _counts(asked: Asked) -> bool:
    """404: the pod's port serves no inference (a Dynamo worker's system port). Path errors do not count."""
    return asked.status != 404 and not asked.outcome.path_error


async def _without_http(
    ctx: Context, cluster: Cluster, target: Target, params: VerifyParams
) -> TrafficOutputs:
    if params.expect is not Expected.FAILURE:
        raise StepFailed(f"{target} has no pod on {params.node} that answers HTTP")
    if params.fault is None:
        raise StepError("for pods without HTTP, the failure is proven by a fault's calls", hint="set `fault`")
    here = next((one for one in params.fault.every if one.node == params.node), None)
    if here is None:
        hint = f"it was injected on {nodes_of(params.fault)}"
        raise StepError(f"no fault was injected on {params.node}", hint=hint)
    ended = await await_deaths(ctx, cluster, target, here)
    return TrafficOutputs(requests=0, failed=0, path_errors=0, success_rate=0.0, ended=ended)


def _died_and_back(cluster: Cluster, target: Target, params: VerifyParams) -> list[str]:
    """The pods of the node that failed before they were asked: of a contained error a restarted process is healthy."""
    here = [one for one in params.fault.every if one.node == params.node] if params.fault else []
    return deaths(cluster, target, here[0]) if here else []


def _outputs(target: Target, asked: Sequence[Asked], ended: Sequence[str] = ()) -> TrafficOutputs:
    counted = [one.outcome for one in asked if _counts(one)]
    rate = success_rate(counted)
    if rate is None:
        whys = sorted({one.why for one in asked})
        raise StepError(f"no request reached {target}: {'; '.join(whys)[:500]}")
    latencies = [one.latency_s for one in counted if one.good]
    quantiles = {
        name: percentile(latencies, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return TrafficOutputs(
        requests=len(counted),
        failed=sum(not one.good for one in counted),
        path_errors=sum(one.outcome.path_error for one in asked),
        success_rate=rate,
        ended=list(ended),
        latencies=latencies,
        **{name: None if value is None else timedelta(seconds=value) for name, value in quantiles.items()},
    )
