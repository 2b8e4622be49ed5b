"""Small model files with random weights, for tests and the demo; registry.py says how to add one."""
