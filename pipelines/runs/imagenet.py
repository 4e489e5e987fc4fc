"""MobileNetV3's ImageNet weights as Keras publishes them, fetched once into a home and checked each time.

Names and checksums are those of `keras.applications`; it publishes MD5 and nothing stronger, so whatever the file holds
is read by shape alone (`steps.network.weights`).
"""

import hashlib
import http.client
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from steps.core.common.errors import UserError
from steps.network.weights import WEIGHTS_SUFFIX

IMAGENET = "imagenet"
PUBLISHED = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3/"
MD5: Mapping[str, str] = {
    "large": "07fb09a5933dd0c8eaafa16978110389",
    "large-minimalistic": "ec5221f64a2f6d1ef965a614bdae7973",
    "small": "d3e8ec802a04aa4fc771ee12a9a9b836",
    "small-minimalistic": "cde8136e733e811080d9fcd8a252f7e4",
}
_TIMEOUT_SECONDS = 30


def published_name(backbone: str) -> str:
    size, _, kind = backbone.partition("-")
    return f"weights_mobilenet_v3_{size}{f'_{kind}' if kind else ''}_224_1.0_float_no_top_v2.h5"


def imagenet_weights(backbone: str, home: Path, published: str = PUBLISHED) -> Path:
    """Return the file of a backbone's weights in `home`, after it was fetched where it is missing.

    Raises UserError, which says what to download and where to put it, if the file cannot be fetched or is not the
    published one, which is checked each time.
    """
    path = home / "weights" / f"{IMAGENET}-{backbone}{WEIGHTS_SUFFIX}"
    url = published + published_name(backbone)
    if not path.is_file():
        part = path.with_suffix(".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"Fetching {url}", flush=True)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the URL is ours
                part.write_bytes(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"the ImageNet weights cannot be fetched ({error}): download {url} where there is internet and put it "
                f"at {path}; behind a proxy set HTTPS_PROXY"
            ) from None
        part.replace(path)
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != MD5[backbone]:
        path.unlink()
        raise UserError(
            f"{path} is not what Keras publishes for {backbone} (MD5 {found}, not {MD5[backbone]}) and was removed: "
            f"run again, or put {url} there"
        )
    return path
