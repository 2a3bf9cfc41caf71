"""Fuzzing of every parser of bytes from outside: changed inputs, of which a parser may refuse any, with its own error.

    python -m testing.fuzz --cases 100000 --seed 1 [--target NAME]

`targets_*.py` have one function per parser, `mutation.py` changes inputs, `runner.py` counts and finds.
"""
