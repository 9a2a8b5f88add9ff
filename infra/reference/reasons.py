"""Why a node does not go: the codes, from the enum that records and people share."""

from infra.reference.markdown import code, table
from worker.decisions.reasons import Reason


def reasons() -> str:
    """Each code with what it says and what to do."""
    return table(("code", "says", "what to do"), [(code(each), each.meaning, each.remedy) for each in Reason])
