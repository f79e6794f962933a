"""A deterministic simulation: real cores, and everything around them made up under one seed.

The control plane's core and the workers' are the product's own. Time, network, store, agents, clients and all that goes
wrong are simulated. One random number generator decides everything: a seed is a history, and one that fails does so
again. `python -m simulation` plays seeds; `docs/simulation.md` says what is simulated, and what is held against it.
"""
