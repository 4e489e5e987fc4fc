"""Files that another program wrote: what cannot be read is told in a sentence."""

import pytest

from steps.core.common.errors import UserError
from steps.core.common.files import read_json


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000], ids=["nothing", "half", "no text", "nested"])
def test_a_file_that_is_no_json_is_named(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(UserError, match=r"a.json is not readable JSON"):
        read_json(tmp_path / "a.json")
