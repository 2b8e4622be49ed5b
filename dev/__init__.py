"""`python dev <command>`: set-up, demo, tests, server and benchmarks, standard library only."""
