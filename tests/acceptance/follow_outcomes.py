import asyncio, io, pathlib, sys
from aiokafka import AIOKafkaConsumer
from fastavro import schema, schemaless_reader

schemas = {}
for file in pathlib.Path("schemas/released").glob("*/baton.orchestrator.Order*.avsc"):
    said = schema.load_schema(file)
    crc = schema.fingerprint(schema.to_parsing_canonical_form(said), "CRC-64-AVRO")
    schemas[bytes.fromhex("c301" + crc)] = said

async def follow(kafka: str) -> None:
    async with AIOKafkaConsumer("orders.order.outcomes.v1", bootstrap_servers=kafka,
                                group_id="web-shop", auto_offset_reset="earliest") as outcomes:
        async for record in outcomes:
            outcome = schemaless_reader(io.BytesIO(record.value[10:]), schemas[record.value[:10]])
            print(dict(record.headers)["ce_type"].decode(), outcome, flush=True)

asyncio.run(follow(sys.argv[1]))
