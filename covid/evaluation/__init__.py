"""What predictions are worth: metrics, curves, intervals, tests."""
