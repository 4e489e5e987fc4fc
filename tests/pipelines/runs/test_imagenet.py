"""ImageNet weights: fetched once, checked, and a sentence that helps where there is no internet."""

import ast
import hashlib
import http.server
import importlib.util
import threading
from pathlib import Path

import pytest

from pipelines.runs import imagenet
from pipelines.runs.imagenet import MD5, imagenet_weights, published_name
from steps.core.common.choices import BACKBONES
from steps.core.common.errors import UserError

WHOLE = bytes(range(256)) * 9000


class Server:
    """Serves one file; `cut` ends each answer after so many bytes."""

    def __init__(self):
        self.asked, self.cut = [], None
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(WHOLE)))
                self.end_headers()
                self.wfile.write(WHOLE[: server.cut])

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(imagenet, "MD5", {"small": hashlib.md5(WHOLE, usedforsecurity=False).hexdigest()})
    made = Server()
    yield made
    made.close()


def test_names_and_checksums_are_those_that_keras_has():
    source = Path(importlib.util.find_spec("tf_keras").origin).parent / "src/applications/mobilenet_v3.py"
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("BASE_WEIGHT_PATH", "WEIGHTS_HASHES")
    }
    assert values["BASE_WEIGHT_PATH"] == imagenet.PUBLISHED
    for backbone in BACKBONES:
        name = published_name(backbone).removeprefix("weights_mobilenet_v3_").removesuffix("_no_top_v2.h5")
        assert values["WEIGHTS_HASHES"][name][1] == MD5[backbone]


def test_weights_are_fetched_once(server, tmp_path):
    for _ in range(2):
        assert imagenet_weights("small", tmp_path, server.url).read_bytes() == WHOLE
    assert server.asked == ["/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"]


def test_a_download_that_broke_off_is_no_file_and_is_fetched_again(server, tmp_path):
    server.cut = 1_500_000
    with pytest.raises(UserError, match="cannot be fetched"):
        imagenet_weights("small", tmp_path, server.url)
    assert not list((tmp_path / "weights").iterdir())
    server.cut = None
    assert imagenet_weights("small", tmp_path, server.url).read_bytes() == WHOLE
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["imagenet-small.weights.h5"]


def test_other_bytes_are_refused_and_removed(server, tmp_path):
    path = imagenet_weights("small", tmp_path, server.url)
    path.write_bytes(WHOLE[:-1] + b"x")
    with pytest.raises(UserError, match="is not what Keras publishes for small"):
        imagenet_weights("small", tmp_path, server.url)
    assert not path.exists()


def test_without_internet_a_sentence_says_what_to_put_where(server, tmp_path):
    server.close()
    with pytest.raises(UserError) as caught:
        imagenet_weights("small", tmp_path, server.url)
    for said in ("no_top_v2.h5", str(tmp_path / "weights/imagenet-small.weights.h5"), "HTTPS_PROXY"):
        assert said in str(caught.value)
