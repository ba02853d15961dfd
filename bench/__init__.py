"""Measurements that the tests are too short for: `make bench`, or `python -m bench NAME…`."""
