"""Measurements that the tests are too short for: `make bench`, or `python -m bench NAME…`."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs have their bytecode
