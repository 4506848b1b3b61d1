"""What goes wrong in training, said in one line."""


class TrainingError(Exception):
    """A message for whoever trains: what is wrong, and what to do."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind if it says nothing (an EOFError)."""
    return (str(error).splitlines() or [type(error).__name__])[0]
