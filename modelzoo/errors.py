"""What goes wrong in ways that a user can mend; each message is one line that says what to do."""


class ZooError(Exception):
    """Models cannot be made ready; the message is for the user."""


class UsageError(ZooError):
    """What was asked for makes no sense: an unknown model, an option that does not fit."""
