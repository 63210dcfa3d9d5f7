"""The benchmarks of ``make bench``: each compares figures from the same run, with median and spread."""
