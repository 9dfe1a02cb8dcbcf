"""Honest evaluation: intervals, curves, calibration, thresholds, duplicates, and the page that shows them."""
