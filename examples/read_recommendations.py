import json
import os

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "streamrec.recommendations",
    group_id="my-app",
    auto_offset_reset="earliest",
    bootstrap_servers=os.environ["STREAMREC_KAFKA__BOOTSTRAP"],
)
for record in consumer:
    answer = json.loads(record.value)
    print(answer["visitor_id"], "asked by", answer["event_id"], "list", answer["rec_id"])
    for item in answer["items"]:
        print(f"  {item['item_id']:>8}  {item['sources'][0]:<10}  {item['reason']}")
