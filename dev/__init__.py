"""`python dev <command>`: set-up, demo, tests, server and benchmarks.

What runs before the environment exists (cli, engine, build, packages, cache) uses the standard
library alone; the rest runs in the engine's Python, which has what ComfyUI requires.
"""


class DevError(Exception):
    """Something the reader can mend; the message is one line that says how."""
