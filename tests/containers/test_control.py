"""The image of the Lambda functions, called by AWS's own runtime client over a runtime API that speaks as Lambda's."""

import json

import pytest

pytestmark = pytest.mark.containers

# Runs in the container, whose loop-back is the only network: one invocation, and what the client answers to it.
RUNTIME_API = """
import http.server, json, os, subprocess, sys, threading
answered = threading.Event()
class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    given = False
    def do_GET(self):
        if Api.given:
            threading.Event().wait()
        Api.given = True
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", "9999999999999")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:111122223333:function:f")
        # The client, which is C++ inside, crashes without these two.
        self.send_header("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        print("ANSWER " + json.dumps({"to": self.path.rpartition("/")[2], "body": json.loads(body)}), flush=True)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        answered.set()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9001), Api)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
env = {**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
client = subprocess.Popen([sys.executable, "-m", "awslambdaric", sys.argv[1]], env=env)
while not answered.wait(0.2) and client.poll() is None:
    pass
client.kill()
print("the client ended with", client.wait())
"""
HANDLERS = ("starter", "publisher", "recorder")


def invoke(docker, image, handler, event, **variables):
    variables = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_EC2_METADATA_DISABLED": "true", **variables}
    options = [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
    words = ("-c", RUNTIME_API, f"infra.handlers.{handler}.handler", json.dumps(event))
    done = docker.run(image, *words, options=(*options, "--entrypoint", "python3"))
    answers = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert len(answers) == 1, done.stdout + done.stderr
    return answers[0]


def test_the_entry_point_is_the_runtime_client(docker, control_image):
    (told,) = json.loads(docker("image", "inspect", control_image).stdout)
    assert told["Config"]["Entrypoint"] == ["python3", "-m", "awslambdaric"]
    assert told["Config"]["User"] == "1000:1000"


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_without_its_environment_says_which_variable_is_missing(docker, control_image, handler):
    event = {"detail": {"pipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/p/execution/e"}}
    answer = invoke(docker, control_image, handler, event, AWS_REGION="eu-west-1")
    assert (answer["to"], answer["body"]["errorType"]) == ("error", "UserError"), answer
    assert "environment variable TILEGATE_ENV is not set: dev or prod is wanted" in answer["body"]["errorMessage"]


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_without_credentials_fails_in_a_sentence(docker, control_image, handler):
    """Everything that a handler imports is in the image; the first thing it misses is what Lambda would give it."""
    event = {"detail": {"pipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/p/execution/e"}}
    answer = invoke(docker, control_image, handler, event, AWS_REGION="eu-west-1", TILEGATE_ENV="dev")
    assert (answer["to"], answer["body"]["errorType"]) == ("error", "UserError"), answer
    assert "credentials" in answer["body"]["errorMessage"]
