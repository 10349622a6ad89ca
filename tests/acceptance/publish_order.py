import asyncio, io, sys, time
from aiokafka import AIOKafkaProducer
from fastavro import schema, schemaless_writer

placed = schema.load_schema("schemas/released/0.1.0/baton.orders.OrderPlaced.avsc")
crc = schema.fingerprint(schema.to_parsing_canonical_form(placed), "CRC-64-AVRO")
order = {"order_id": "web-1", "customer_id": None, "country": "France", "currency": "GBP",
         "lines": [{"sku": "85123A", "quantity": 6, "unit_price_minor": 255}],
         "placed_at": time.time_ns() // 1000}
headers = [("ce_specversion", b"1.0"), ("ce_id", b"web-1/placed"), ("ce_source", b"web-shop"),
           ("ce_type", b"baton.orders.OrderPlaced"), ("content-type", b"application/avro")]

async def publish(kafka: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait("orders.order.events.v1", value, b"web-1", headers=headers)

schemaless_writer(body := io.BytesIO(), placed, order)
asyncio.run(publish(sys.argv[1], bytes.fromhex("c301" + crc) + body.getvalue()))
