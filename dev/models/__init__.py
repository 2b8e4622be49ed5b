"""Small model files with random weights, for tests and the demo. Run in the engine's Python:
`<python> dev/models <ComfyUI folder> <models folder>`.

To add one: write `def my_model(models: Path) -> None` that saves under `models/<kind>/`, in a
module of this folder, end the module with `MAKERS = [my_model]`, and name the module in MODULES of
`registry.py`. The first line of its docstring is shown while it is made. Every change here makes
the whole set anew (some seconds).
"""
