"""streamrec: clicks into Kafka, fresh recommendations out of it."""

import os

# ONNX Runtime's wheels report to their maker, and leave a device id in the home folder, from their
# import on: no call can come early enough.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
