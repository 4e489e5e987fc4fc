"""A SageMaker service of one execution: answers to a real client's calls that botocore's own model accepts."""

import json
from datetime import UTC, datetime, timedelta

import boto3
from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/tilegate-dev/execution/abc123def456"
EARLIER = ARN.replace("abc123def456", "zzz999zzz999")
JOB = "arn:aws:sagemaker:eu-west-1:123456789012:{}/{}"
ROLE = "arn:aws:iam::123456789012:role/tilegate-dev-data"
PACKAGE = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/tilegate-dev-screenshots/7"
DATASET = f"s3://data/datasets/{'d' * 32}"
BEGUN = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
DEFINITION = json.dumps({"Parameters": [{"Name": "MaxFpr", "DefaultValue": 0.01}, {"Name": "DatasetUri"}], "Steps": []})


def at(minutes):
    return BEGUN + timedelta(minutes=minutes)


class Service:
    """Answers a real client's calls; each answer has to be one that the service may give."""

    def __init__(self):
        known = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
        self.client = boto3.client("sagemaker", **known)
        self.client.meta.events.register("before-call.sagemaker", self._answer)
        self.steps = []
        self.execution = {"PipelineExecutionStatus": "Succeeded"}
        self.jobs = {}
        self.trials = []

    def _answer(self, model, params, **_):
        asked = json.loads(params["body"])
        answer = getattr(self, model.name)(asked)
        report = ParamValidator().validate(answer, model.output_shape)
        assert not report.has_errors(), report.generate_report()
        return AWSResponse("", 200, {}, None), answer

    def DescribePipelineExecution(self, asked):  # noqa: N802
        assert asked == {"PipelineExecutionArn": ARN}
        arn = ARN.partition("/execution")[0]
        return {"PipelineArn": arn, "CreationTime": at(0), "LastModifiedTime": at(90), **self.execution}

    def DescribePipelineDefinitionForExecution(self, _):  # noqa: N802
        return {"PipelineDefinition": DEFINITION}

    def ListPipelineParametersForExecution(self, _):  # noqa: N802
        return {"PipelineParameters": [{"Name": "DatasetUri", "Value": DATASET}]}

    def ListPipelineExecutionSteps(self, asked):  # noqa: N802
        page = int(asked.get("NextToken", 0))
        more = {"NextToken": str(page + 1)} if page + 1 < len(self.steps) else {}
        return {"PipelineExecutionSteps": self.steps[page : page + 1], **more}

    def DescribeProcessingJob(self, asked):  # noqa: N802
        return self.jobs[asked["ProcessingJobName"]]

    def DescribeTrainingJob(self, asked):  # noqa: N802
        return self.jobs[asked["TrainingJobName"]]

    def DescribeHyperParameterTuningJob(self, asked):  # noqa: N802
        return self.jobs[asked["HyperParameterTuningJobName"]]

    def ListTrainingJobsForHyperParameterTuningJob(self, _):  # noqa: N802
        return {"TrainingJobSummaries": self.trials}

    def step(self, name, begun, ended, status="Succeeded", **more):
        times = {"StartTime": at(begun), "EndTime": at(ended)}
        self.steps.insert(0, {"StepName": name, "StepStatus": status, **times, **more})

    def processing(self, name, begun, ended, outputs, status="Succeeded", **more):
        job = f"pipelines-{name.lower()}"
        targets = [
            {"OutputName": o, "S3Output": {"S3Uri": uri, "LocalPath": "/opt/ml/x", "S3UploadMode": "EndOfJob"}}
            for o, uri in outputs.items()
        ]
        source = {"S3Uri": DATASET, "S3DataType": "S3Prefix"}
        self.jobs[job] = {
            "ProcessingJobName": job,
            "ProcessingJobArn": JOB.format("processing-job", job),
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 50}
            },
            "AppSpecification": {"ImageUri": "image"},
            "ProcessingJobStatus": "Completed",
            "CreationTime": at(begun),
            "ProcessingStartTime": at(begun + 1),
            "ProcessingEndTime": at(begun + 8),
            "ProcessingInputs": [{"InputName": "plan", "S3Input": source}],
            "ProcessingOutputConfig": {"Outputs": targets},
        }
        metadata = {"ProcessingJob": {"Arn": JOB.format("processing-job", job)}}
        self.step(name, begun, ended, status, Metadata=metadata, **more)

    def training(self, job, metrics, hyperparameters=None):
        self.jobs[job] = {
            "TrainingJobName": job,
            "TrainingJobArn": JOB.format("training-job", job),
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://artifacts/training/{job}/output/model.tar.gz"},
            "TrainingJobStatus": "Completed",
            "SecondaryStatus": "Completed",
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "ResourceConfig": {"VolumeSizeInGB": 50, "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
            "StoppingCondition": {},
            "CreationTime": at(0),
            "HyperParameters": hyperparameters or {},
            "FinalMetricDataList": [{"MetricName": n, "Value": v, "Timestamp": at(50)} for n, v in metrics.items()],
        }
        return {"TrainingJob": {"Arn": JOB.format("training-job", job)}}

    def trial(self, number, objective, status="Completed"):
        job = f"tune-{number}"
        self.training(job, {"validation:objective": objective, "train:loss": 0.5})
        best = {"MetricName": "validation:objective", "Value": objective}
        self.trials.append(
            {
                "TrainingJobName": job,
                "TrainingJobArn": JOB.format("training-job", job),
                "CreationTime": at(10 + number),
                "TrainingStartTime": at(10 + number),
                "TrainingEndTime": at(20 + number),
                "TrainingJobStatus": status,
                "TunedHyperParameters": {"dropout": f"0.{number}"},
                "FinalHyperParameterTuningJobObjectiveMetric": best,
            }
        )
        return self.trials[-1]

    def tuning(self, begun, ended):
        best = max(self.trials, key=lambda t: t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        self.jobs["tune"] = {
            "HyperParameterTuningJobName": "tune",
            "HyperParameterTuningJobArn": JOB.format("hyper-parameter-tuning-job", "tune"),
            "HyperParameterTuningJobConfig": {"Strategy": "Bayesian", "ResourceLimits": {"MaxParallelTrainingJobs": 2}},
            "HyperParameterTuningJobStatus": "Completed",
            "CreationTime": at(begun),
            "TrainingJobStatusCounters": {},
            "ObjectiveStatusCounters": {},
            "BestTrainingJob": best,
        }
        arn = self.jobs["tune"]["HyperParameterTuningJobArn"]
        self.step("TuneHyperparameters", begun, ended, Metadata={"TuningJob": {"Arn": arn}})


def run_folder(step, output):
    return f"runs/abc123def456/{step}/{output}"


def whole_night(service, buckets):
    """Play the night that most tests look at; the service lists its steps from the last to the first."""
    outputs = {"screenshots": "s3://data/elsewhere", "new-facts": "s3://data/facts/v1"}
    service.processing("ValidateData", 1, 5, outputs)
    for number, objective in ((1, 0.4), (2, 0.7)):
        service.trial(number, objective)
    service.tuning(10, 30)
    trained = service.training("train-1", {"validation:auc": 0.99}, {"dropout": "0.2", "seed": "17"})
    service.step("TrainModel", 30, 50, Metadata=trained)
    evaluation = run_folder("EvaluateModel", "evaluation")
    service.processing("EvaluateModel", 50, 60, {"evaluation": buckets[1].uri(evaluation)})
    text = json.dumps({"gate": {"passed": True, "fpr": {"value": 0.004}}})
    buckets[1].put(f"{evaluation}/evaluation.json", text.encode())
    buckets[1].put(f"{evaluation}/report.html", b"<p>passed</p>")
    buckets[1].put(f"{evaluation}/scores.npy", b"large")
    buckets[0].put("facts/v1/other.json", b"{}")
    service.step("CheckFalsePositiveRate", 60, 60, Metadata={"Condition": {"Outcome": "True"}})
    service.step("RegisterModel", 80, 81, Metadata={"RegisterModel": {"Arn": PACKAGE}})
