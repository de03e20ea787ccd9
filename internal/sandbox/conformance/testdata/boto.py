"""What boto3 sees of an endpoint, as lines of JSON: the protocols that the Go
SDK doesn't speak (CloudWatch by Query or JSON), and SQS by its older one.

    python3 boto.py http://127.0.0.1:4566
"""
import datetime
import json
import sys

import boto3
from botocore.config import Config

config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20)


def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test", config=config)


def say(what, value):
    print(json.dumps({"what": what, "value": value}, sort_keys=True))


metrics = client("cloudwatch")
now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - datetime.timedelta(minutes=2)
later = now + datetime.timedelta(minutes=1)
dimensions = [{"Name": "Queue", "Value": "q"}]
metrics.put_metric_data(Namespace="Boto", MetricData=[
    {"MetricName": "m", "Dimensions": dimensions, "Timestamp": now, "Value": v, "Unit": "Count"} for v in (2, 4, 6)])
stats = metrics.get_metric_statistics(Namespace="Boto", MetricName="m", Dimensions=dimensions, StartTime=now, EndTime=later,
                                      Period=60, Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"])
point = stats["Datapoints"][0]
say("statistics", {k: float(point[k]) for k in ("Sum", "Average", "Minimum", "Maximum", "SampleCount")})
say("statistics are stamped with the period's start", point["Timestamp"] == now)
data = metrics.get_metric_data(StartTime=now, EndTime=later, MetricDataQueries=[
    {"Id": "a", "MetricStat": {"Metric": {"Namespace": "Boto", "MetricName": "m", "Dimensions": dimensions}, "Period": 60, "Stat": "Sum"}}])
say("data", [float(v) for v in data["MetricDataResults"][0]["Values"]])
say("data of no metric", metrics.get_metric_data(StartTime=now, EndTime=later, MetricDataQueries=[
    {"Id": "a", "MetricStat": {"Metric": {"Namespace": "Boto", "MetricName": "none"}, "Period": 60, "Stat": "Sum"}}])["MetricDataResults"][0]["Values"])
say("listed", [m["Dimensions"] for m in metrics.list_metrics(Namespace="Boto")["Metrics"]])

queues = client("sqs")
url = queues.create_queue(QueueName="boto", Attributes={"VisibilityTimeout": "45"})["QueueUrl"]
queues.send_message(QueueUrl=url, MessageBody="hi", MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}})
message = queues.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"], WaitTimeSeconds=1)["Messages"][0]
say("message", [message["Body"], message["MessageAttributes"]["k"]["StringValue"], message["Attributes"]["ApproximateReceiveCount"]])
queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
say("attributes", queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "QueueArn"])["Attributes"])
say("account", client("sts").get_caller_identity()["Account"])
try:
    queues.get_queue_url(QueueName="none")
except queues.exceptions.QueueDoesNotExist as error:
    say("missing queue", error.response["Error"]["Code"])
