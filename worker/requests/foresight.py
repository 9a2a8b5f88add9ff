"""What a dry run says: what would be done, from what its flow has noted until the first effect."""

from shared.records import Record
from worker.requests import wording
from worker.requests.plans import DownPlan, ReplicasPlan, ReschedulePlan


def would(record: Record) -> str:
    """Of a record that holds the plan of its request, in sentences."""
    match record.action, record.scale:
        case "scale-nodes", "up":
            changing = wording.changing(str(record.type), int(record.nodes_before or 0), int(record.nodes_after or 0))
            limit = "" if record.limited_by is None else wording.limited(record.by, "up", record.limited_by)
            return wording.joined(_would("Changing", "change", changing), limit)
        case "scale-nodes", _:
            names = ", ".join(node.name for node in DownPlan.parse(record.plan).nodes)
            return wording.joined(_would("Changing", "change", record.message), f"{names} would go")
        case "scale-service", _:
            plan = ReplicasPlan.parse(record.plan)
            return _would(
                "Scaling",
                "scale",
                wording.scaling(str(record.service), plan.before, int(plan.after or 0), plan.minimum, plan.maximum),
            )
        case "drain-node", _:
            return f"Would give {record.node} back" if wording.gives_back(record) else f"Would drain {record.node}"
        case "replace-node", _:
            return f"Would replace {record.node}"
        case _:
            names = ", ".join(ReschedulePlan.parse(record.plan).services)
            return f"Would reschedule {record.service or names or 'nothing: no service is labelled'}"


def _would(doing: str, do: str, sentence: str) -> str:
    return f"Would {do}{sentence.removeprefix(doing)}"
