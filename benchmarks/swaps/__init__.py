"""The swap of model versions under full load, on a real Kafka, with the real apps.

    python -m benchmarks.swaps

First a minute without swaps and a minute with one every two seconds, at a share of what the apps can do
that this run has found itself; then two hundred swaps more, with an eye on memory. Every list of both
minutes is looked at. Writes build/swap/report.json.
"""
