"""One file, one question. `python -m experiments.NAME --help` says which."""
