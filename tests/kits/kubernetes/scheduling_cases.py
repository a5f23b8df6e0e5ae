"""Random nodes and pods for the scheduler: few of everything, so that rules meet; each from its number."""

from random import Random
from typing import Any

from offbus_steps.port import Object
from tests.kits.kubernetes.scheduler import Case

__all__ = ["NAMESPACES", "random_case"]

NAMESPACES = ("fit-a", "fit-b")
APPS = ("web", "api", "old")
ZONES = ("a", "b")
KEYS = ("kubernetes.io/hostname", "zone", "rack")
GPU = "nvidia.com/gpu"
PART = "nvidia.com/mig-1g.10gb"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")


def random_case(number: int) -> Case:
    """The case of that number."""
    return _Maker(number).case()


class _Maker:
    def __init__(self, number: int) -> None:
        self._random = Random(f"where pods fit {number}")
        self._prefix = f"c{number}"
        self._roomy = number % 2 == 0
        """Nodes have room for everything: pods fit or not because of other pods."""
        self._taken: set[tuple[str, int]] = set()
        """Host ports by node: the scheduler never lets two pods have the same, and counts them as if that were so."""

    def case(self) -> Case:
        nodes = [self._node(f"{self._prefix}-n{n}") for n in range(self._random.randint(2, 5))]
        names = [one["metadata"]["name"] for one in nodes]
        running = [self._running(f"{self._prefix}-r{n}", names) for n in range(self._random.randint(0, 7))]
        pending = self._pod(f"{self._prefix}-p", names, chance=1.2 if self._roomy else 0.5)
        if self._roomy and self._maybe(0.4):
            self._only_topology(running, pending)
        return Case(nodes, running, pending)

    def _only_topology(self, running: list[Object], pending: Object) -> None:
        """Where the pod goes is decided by its like alone: spread over them, or kept apart by their own wish."""
        for field in ("affinity", "nodeSelector", "topologySpreadConstraints"):
            pending["spec"].pop(field, None)
        like = {"matchLabels": {"app": pending["metadata"]["labels"]["app"]}}
        for one in running:
            one["metadata"]["namespace"] = pending["metadata"]["namespace"]
            if self._maybe(0.7):
                one["metadata"]["labels"]["app"] = like["matchLabels"]["app"]
        key = self._random.choice(KEYS[:2])
        if self._maybe(0.6):
            constraint = {
                **self._constraint(key),
                "labelSelector": like,
                "whenUnsatisfiable": "DoNotSchedule",
            }
            pending["spec"]["topologySpreadConstraints"] = [constraint]
        else:
            for one in running[:2]:
                term = {"topologyKey": key, "labelSelector": like}
                one["spec"]["affinity"] = {"podAntiAffinity": {REQUIRED: [term]}}

    def _maybe(self, chance: float) -> bool:
        return self._random.random() < chance

    def _node(self, name: str) -> Object:
        labels = {"kubernetes.io/hostname": name}
        if self._maybe(0.8):
            labels["zone"] = self._random.choice(ZONES)
        if self._maybe(0.5):
            labels["rack"] = self._random.choice(("1", "2", "many"))
        spec: dict[str, Any] = {}
        if self._maybe(0.15):
            spec["unschedulable"] = True
        if self._maybe(0.1 if self._roomy else 0.3):
            spec["taints"] = [self._taint()]
        allocatable = {
            "cpu": self._random.choice(("1", "1500m", "2")),
            "memory": self._random.choice(("1Gi", "1500M")),
            "pods": str(self._random.choice((2, 3, 110))),
            GPU: str(self._random.choice((1, 2, 4))),
        }
        if self._roomy:
            allocatable |= {"cpu": "32", "memory": "64Gi", "pods": "110", GPU: "16"}
        if self._roomy or self._maybe(0.3):
            allocatable[PART] = "20"
        status = {"allocatable": allocatable, "capacity": allocatable}
        meta = {"name": name, "labels": labels}
        return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}

    def _taint(self) -> dict[str, str]:
        taint = {"key": self._random.choice(("team", "gpu")), "effect": self._random.choice(EFFECTS)}
        return taint | ({"value": self._random.choice(("x", "y"))} if self._maybe(0.7) else {})

    def _running(self, name: str, nodes: list[str]) -> Object:
        pod = self._pod(name, nodes, chance=0.5 if self._roomy else 0.15)
        node = pod["spec"]["nodeName"] = self._random.choice(nodes)
        for port in pod["spec"]["containers"][0].get("ports", ()):
            if (node, port["hostPort"]) in self._taken:
                del pod["spec"]["containers"][0]["ports"]
            self._taken.add((node, port["hostPort"]))
        if self._maybe(0.15):
            pod["status"] = {"phase": self._random.choice(("Succeeded", "Failed"))}
        elif self._maybe(0.15):
            pod["metadata"]["finalizers"] = ["offbus.test/leaving"]
        return pod

    def _pod(self, name: str, nodes: list[str], chance: float) -> Object:
        labels = {"app": self._random.choice(APPS)}
        if self._maybe(0.5):
            labels["v"] = self._random.choice(("1", "2"))
        spec: dict[str, Any] = {
            "terminationGracePeriodSeconds": 1,
            "containers": [self._container(f"c{n}") for n in range(self._random.randint(1, 2))],
        }
        if self._maybe(0.3):
            spec["initContainers"] = [self._init(f"i{n}") for n in range(self._random.randint(1, 3))]
        if self._maybe(chance / 2):
            spec["tolerations"] = [self._toleration() for _ in range(self._random.randint(1, 2))]
        if self._maybe(chance / 3):
            spec["nodeSelector"] = {"zone": self._random.choice(ZONES)}
        if affinity := self._affinity(nodes, chance):
            spec["affinity"] = affinity
        if self._maybe(chance / 2):
            spec["topologySpreadConstraints"] = self._spread()
        meta = {"name": name, "namespace": self._random.choice(NAMESPACES), "labels": labels}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def _container(self, name: str) -> dict[str, Any]:
        limits: dict[str, str] = {}
        requests: dict[str, str] = {}
        if self._maybe(0.5):
            limits[GPU] = self._random.choice(("1", "1", "2"))
        if self._maybe(0.1):
            limits[PART] = "1"
        if self._maybe(0.3):
            requests["cpu"] = self._random.choice(("100m", "0.5", "700m"))
        if self._maybe(0.2):
            limits["memory"] = self._random.choice(("200Mi", "0.5G"))
        made: dict[str, Any] = {
            "name": name,
            "image": "none",
            "resources": {"limits": limits, "requests": requests},
        }
        if name == "c0" and self._maybe(0.15):
            made["ports"] = [{"containerPort": 80, "hostPort": self._random.choice((80, 81))}]
            if self._maybe(0.3):
                made["ports"][0] |= {"protocol": "UDP"} if self._maybe(0.5) else {"hostIP": "10.0.0.1"}
        return made

    def _init(self, name: str) -> dict[str, Any]:
        return self._container(name) | ({"restartPolicy": "Always"} if self._maybe(0.5) else {})

    def _toleration(self) -> dict[str, Any]:
        if self._maybe(0.15):
            return {"operator": "Exists"}
        made: dict[str, Any] = {
            "key": self._random.choice(("team", "gpu", "node.kubernetes.io/unschedulable"))
        }
        made |= {"operator": "Exists"} if self._maybe(0.5) else {"value": self._random.choice(("x", "y", ""))}
        if self._maybe(0.6):
            made["effect"] = self._random.choice(EFFECTS)
        if made.get("effect") == "NoExecute" and self._maybe(0.5):
            made["tolerationSeconds"] = 30
        return made

    def _affinity(self, nodes: list[str], chance: float) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self._maybe(chance / 3):
            terms = [self._node_term(nodes) for _ in range(self._random.randint(1, 2))]
            made["nodeAffinity"] = {REQUIRED: {"nodeSelectorTerms": terms}}
        for kind in ("podAffinity", "podAntiAffinity"):
            if self._maybe(chance / 3):
                made[kind] = {REQUIRED: [self._pod_term() for _ in range(self._random.randint(1, 2))]}
        return made

    def _node_term(self, nodes: list[str]) -> dict[str, Any]:
        term: dict[str, Any] = {}
        if self._maybe(0.75):
            term["matchExpressions"] = [self._node_expression()]
        if self._maybe(0.3):
            name = {"key": "metadata.name", "operator": self._random.choice(("In", "NotIn"))}
            term["matchFields"] = [{**name, "values": [self._random.choice(nodes)]}]
        return term

    def _node_expression(self) -> dict[str, Any]:
        if self._maybe(0.4):
            return {"key": "rack", "operator": self._random.choice(("Gt", "Lt")), "values": ["1"]}
        return self._expression("zone", ZONES)

    def _expression(self, key: str, values: tuple[str, ...]) -> dict[str, Any]:
        operator = self._random.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        made: dict[str, Any] = {"key": key, "operator": operator}
        return made | ({"values": [self._random.choice(values)]} if operator in ("In", "NotIn") else {})

    def _selector(self) -> dict[str, Any]:
        if self._maybe(0.1):
            return {}
        if self._maybe(0.5):
            return {"matchLabels": {"app": self._random.choice(APPS)}}
        return {"matchExpressions": [self._expression("app", APPS)]}

    def _pod_term(self) -> dict[str, Any]:
        term: dict[str, Any] = {"topologyKey": self._random.choice(KEYS), "labelSelector": self._selector()}
        if self._maybe(0.2):
            term["namespaces"] = [self._random.choice(NAMESPACES)]
        elif self._maybe(0.2):
            named = {"matchLabels": {"kubernetes.io/metadata.name": self._random.choice(NAMESPACES)}}
            term["namespaceSelector"] = {} if self._maybe(0.5) else named
        if self._maybe(0.1):
            term["matchLabelKeys"] = ["v"]
        return term

    def _spread(self) -> list[dict[str, Any]]:
        keys = self._random.sample(KEYS, self._random.randint(1, 2))
        return [self._constraint(key) for key in keys]

    def _constraint(self, key: str) -> dict[str, Any]:
        hard = self._maybe(0.85)
        made: dict[str, Any] = {
            "topologyKey": key,
            "maxSkew": self._random.randint(1, 2),
            "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
            "labelSelector": self._selector(),
        }
        if hard and self._maybe(0.2):
            made["minDomains"] = self._random.randint(1, 3)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if self._maybe(0.2):
                made[policy] = self._random.choice(("Honor", "Ignore"))
        if self._maybe(0.1):
            made["matchLabelKeys"] = ["v"]
        return made
