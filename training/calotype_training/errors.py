"""What goes wrong in training, said in one line."""


class TrainingError(Exception):
    """A message for whoever trains: what is wrong, and what to do."""
