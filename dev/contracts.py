"""Import contracts (pyproject, [tool.importlinter]); import-linter lacks a `python -m` for them."""

from importlinter.cli import lint_imports_command

lint_imports_command(["--no-logo"])
