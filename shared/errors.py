"""The errors that cross module borders. Adapters raise them, with the cause kept; flows map them to outcomes."""


class ScalerError(Exception):
    """The root of this project's errors."""


class InvalidRequest(ScalerError):
    """A request that can never be valid. Its text is for the person who sent it, and so is the hint what to do.

    `field` is the field that is missing or wrong, where it is one.
    """

    def __init__(self, text: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(text)
        self.field = field
        self.hint = hint


class Unavailable(ScalerError):
    """A dependency did not answer, or said "later". The call may or may not have taken effect."""


class Refused(ScalerError):
    """A dependency understood the call and said no: repeating it unchanged is pointless. Nothing was changed."""


class NotFound(Refused):
    """The thing that the call names is not there."""
