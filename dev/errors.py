"""The one error that `python dev` shows as a single line, without a traceback."""


class DevError(Exception):
    """Something the reader can mend; the message is one line that says how."""
