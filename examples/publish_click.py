import json
import os
import time
import uuid

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=os.environ["STREAMREC_KAFKA__BOOTSTRAP"], acks="all")
visitor = "visitor-1"
click = {
    "event_id": str(uuid.uuid4()),
    "type": "click",
    "visitor_id": visitor,
    "item_id": "9631",
    "time": int(time.time() * 1000),
}
producer.send("streamrec.interactions", key=visitor.encode(), value=json.dumps(click).encode())
producer.flush()
