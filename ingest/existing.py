"""What is asked of a request that exists: whether there is one, and whether it is not too late, answered at once.

The worker decides finally: the request may have come further by then.
"""

from sanic.exceptions import NotFound, SanicException

from ingest.ports import Journal
from shared.cancellation import refusal

UNKNOWN = "There is no such request, or no worker has taken it yet"


async def check(journal: Journal, request_id: str) -> None:
    """Return where a request can be cancelled. Raises NotFound, and a conflict (409) with the reason."""
    record = (await journal.records([request_id])).get(request_id)
    if record is None:
        raise NotFound(UNKNOWN)
    reason = refusal(record)
    if reason is not None:
        raise SanicException(reason, status_code=409, quiet=True)
