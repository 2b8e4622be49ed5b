"""Set-up, demo, tests, server and benchmarks of Ensemble: `python dev <command>`. Standard library only."""
