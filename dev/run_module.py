"""`python run_module.py FOLDER MODULE ARGUMENTS`: `python -m MODULE` with FOLDER searched last.

Unlike PYTHONPATH it lets the interpreter's own packages win, and works in an embedded Python.
"""

import os
import runpy
import sys

sys.path[0] = os.getcwd()
sys.path.append(sys.argv[1])
module = sys.argv[2]
sys.argv = sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
