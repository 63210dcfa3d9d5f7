"""What ``make bench`` measures: each figure against something in the same run, with median and spread."""
