"""boto3 on three nodes: tables, items, conditions, transactions, pages, batches and streams. Prints nothing when all is well."""

import sys
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

ports = sys.argv[1:]
settings = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "writer",
    "aws_secret_access_key": "the secret of writer",
    "config": Config(retries={"max_attempts": 2}),
}


def at(port, make=boto3.client, service="dynamodb"):
    return make(service, endpoint_url=f"http://127.0.0.1:{port}", **settings)


clients = [at(port) for port in ports]
resources = [at(port, boto3.resource) for port in ports]

clients[0].create_table(
    TableName="tour",
    BillingMode="PAY_PER_REQUEST",
    AttributeDefinitions=[
        {"AttributeName": "who", "AttributeType": "S"},
        {"AttributeName": "at", "AttributeType": "N"},
        {"AttributeName": "kind", "AttributeType": "S"},
    ],
    KeySchema=[
        {"AttributeName": "who", "KeyType": "HASH"},
        {"AttributeName": "at", "KeyType": "RANGE"},
    ],
    GlobalSecondaryIndexes=[
        {
            "IndexName": "by-kind",
            "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
)
clients[1].get_waiter("table_exists").wait(TableName="tour", WaiterConfig={"Delay": 1})

tables = [resource.Table("tour") for resource in resources]
item = {
    "who": "ann",
    "at": Decimal("1.5"),
    "kind": "odd",
    "bytes": b"\x00\xff",
    "words": {"b", "a"},
    "numbers": {Decimal(2), Decimal(10)},
    "deep": {"list": [None, True, Decimal("1E-20"), {"a": "\U0001f600"}]},
}
tables[0].put_item(Item=item)
got = tables[1].get_item(Key={"who": "ann", "at": Decimal("1.50")}, ConsistentRead=True)["Item"]
got["bytes"] = got["bytes"].value
assert got == item, got

with tables[2].batch_writer() as batch:
    for n in range(60):
        batch.put_item(Item={"who": "bob", "at": n, "kind": "even" if n % 2 == 0 else "odd", "n": n})
pages = clients[0].get_paginator("query").paginate(
    TableName="tour",
    KeyConditionExpression="who = :who",
    ExpressionAttributeValues={":who": {"S": "bob"}},
    PaginationConfig={"PageSize": 7},
    ConsistentRead=True,
)
assert [int(one["at"]["N"]) for page in pages for one in page["Items"]] == list(range(60))
even = tables[1].query(IndexName="by-kind", KeyConditionExpression=Key("kind").eq("even"), FilterExpression=Attr("n").gte(50))
assert sorted(one["n"] for one in even["Items"]) == [50, 52, 54, 56, 58], even
assert tables[2].scan(Select="COUNT", ConsistentRead=True)["Count"] == 61

updated = tables[0].update_item(
    Key={"who": "ann", "at": Decimal("1.5")},
    UpdateExpression="SET #n = if_not_exists(#n, :zero) + :one ADD words :more REMOVE deep.#l[0]",
    ExpressionAttributeNames={"#n": "n", "#l": "list"},
    ExpressionAttributeValues={":zero": 0, ":one": 1, ":more": {"c"}},
    ReturnValues="UPDATED_NEW",
)["Attributes"]
assert updated["n"] == 1 and updated["words"] == {"a", "b", "c"}, updated
try:
    tables[1].delete_item(Key={"who": "ann", "at": Decimal("1.5")}, ConditionExpression=Attr("n").eq(7))
    raise AssertionError("the condition was not looked at")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ConditionalCheckFailedException", error

key = {"who": {"S": "ann"}, "at": {"N": "1.5"}}
try:
    clients[2].transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "tour", "Item": {"who": {"S": "cy"}, "at": {"N": "0"}}}},
            {"ConditionCheck": {"TableName": "tour", "Key": key, "ConditionExpression": "attribute_not_exists(who)"}},
        ]
    )
    raise AssertionError("the transaction was done")
except clients[2].exceptions.TransactionCanceledException as error:
    assert [one["Code"] for one in error.response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"], error.response
assert "Item" not in tables[0].get_item(Key={"who": "cy", "at": 0}, ConsistentRead=True)

statement = clients[0].execute_statement(Statement="SELECT n FROM tour WHERE who = 'ann' AND at = 1.5", ConsistentRead=True)
assert statement["Items"] == [{"n": {"N": "1"}}], statement

streams = at(ports[1], service="dynamodbstreams")
arn = streams.list_streams(TableName="tour")["Streams"][0]["StreamArn"]
records = []
for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    while iterator is not None:
        page = streams.get_records(ShardIterator=iterator, Limit=25)
        if not page["Records"]:
            break
        records += page["Records"]
        iterator = page.get("NextShardIterator")
assert len(records) == 62, len(records)

clients[1].delete_table(TableName="tour")
clients[2].get_waiter("table_not_exists").wait(TableName="tour", WaiterConfig={"Delay": 1})
