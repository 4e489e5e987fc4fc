"""Options from a file: what counts, where it comes from, and what is refused."""

import tomllib

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.cli.config import KEYS
from pipelines.cli.parameters import PARAMETERS, SECTIONS
from pipelines.definition.parameters import key_of


@pytest.fixture
def say(tmp_path, monkeypatch):
    """Call a command in an empty working folder, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILEGATE_HOME", str(tmp_path / "home"))
    return lambda *words: CliRunner().invoke(cli, words)


def test_every_parameter_has_its_place_in_the_help_and_in_a_file():
    placed = [name for names in SECTIONS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert {parameter.name for parameter in PARAMETERS} <= set(placed)
    assert {key_of(parameter.name) for parameter in PARAMETERS} <= set(KEYS)


@pytest.mark.parametrize("words", [("run",), ("nightly",), ("start",)], ids=" ".join)
def test_help_has_the_everyday_options_first_and_then_the_sections(words):
    output = CliRunner().invoke(cli, [*words, "--help"]).output
    titles = [line[:-1] for line in output.splitlines() if line[:1].isupper() and line.endswith(":")]
    assert titles == [title for title in SECTIONS if title in titles]
    assert titles[0] == "Everyday"
    assert output.index("--max-fpr") < output.index("Learning:") < output.index("--backbone") < output.index("Fleet:")


def test_what_is_typed_goes_before_the_file_and_that_before_defaults(say, tmp_path):
    (tmp_path / "shots").mkdir()
    (tmp_path / "tilegate.toml").write_text('data = "shots"\nmax-fpr = 0.02\nmin-tpr = 0.4\ntrain-anyway = true\n')
    output = say("run", "--min-tpr", "0.5", "--print-config").output
    sources = {line.split(" = ")[0]: line.split("  # ")[1] for line in output.splitlines() if " = " in line}
    assert sources["max-fpr"] == sources["data"] == sources["train-anyway"] == "tilegate.toml"
    assert (sources["min-tpr"], sources["tile-size"]) == ("command line", "default")
    shown = tomllib.loads(output)
    assert (shown["max-fpr"], shown["min-tpr"], shown["train-anyway"]) == (0.02, 0.5, True)
    assert not (tmp_path / "home").exists()


def test_what_is_printed_is_a_file_that_says_the_same(say, tmp_path):
    first = say("run", "--max-fpr", "0.03", "--train-anyway", "--print-config").output
    (tmp_path / "other.toml").write_text(first)
    assert tomllib.loads(say("run", "--config", "other.toml", "--print-config").output) == tomllib.loads(first)


def test_a_file_that_lies_there_changes_neither_the_sample_nor_a_deployment(say, tmp_path):
    (tmp_path / "tilegate.toml").write_text("tile-size = 32\nno-such = 1\n")
    assert tomllib.loads(say("run", "--sample", "--print-config").output)["tile-size"] == 96
    assert "no-such" not in say("start", "--env", "dev", "--reason", "r", "--max-fpr", "0.1").output
    assert "no-such" in say("start", "--env", "dev", "--reason", "r", "--config", "tilegate.toml").output


def test_paths_are_as_seen_from_the_file(say, tmp_path):
    (tmp_path / "there" / "shots").mkdir(parents=True)
    (tmp_path / "there" / "my.toml").write_text('data = "shots"\n')
    shown = tomllib.loads(say("run", "--config", "there/my.toml", "--print-config").output)
    assert shown["data"] == "there/shots"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max-frp = 0.1", "tilegate.toml has a key 'max-frp' that nobody knows: did you mean max-fpr?"),
        ("epochs = 1", "did you mean fine-tune-epochs?"),
        ("zzz = 1", "; one of data, labels,"),
        ('max-fpr = "lots"', "tilegate.toml: max-fpr = 'lots': 'lots' is not a valid float"),
        ("tile-size = 1.5", "tile-size = 1.5: '1.5' is not a valid integer"),
        ("tile-size = [1]", "tile-size = [1]: a number or a text is wanted"),
        ('backbone = "huge"', "tilegate.toml: backbone = 'huge'"),
        ("train-anyway = 3", "train-anyway = 3: true or false is wanted"),
        ('data = "gone"', "Path 'gone' does not exist"),
        ("[gate]", "has a key 'gate' that nobody knows"),
        ("max-fpr =", "tilegate.toml is no TOML"),
    ],
)
def test_what_a_file_says_wrong_is_one_sentence(say, tmp_path, text, says):
    (tmp_path / "tilegate.toml").write_text(text)
    done = say("run", "--print-config")
    assert done.exit_code == 2
    assert says in done.output


def test_bad_values_of_a_file_are_refused_before_anything_is_printed(say, tmp_path):
    (tmp_path / "tilegate.toml").write_text("max-fpr = 0\n")
    done = say("run", "--print-config")
    assert "max-fpr 0.0" in str(done.exception)
    assert done.output == ""


def test_init_makes_a_file_with_every_parameter_and_a_folder_for_each_class(say, tmp_path):
    done = say("init", "mine", "--classes", "Other,Promo")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "mine" / "screenshots").iterdir()) == ["Other", "Promo"]
    text = (tmp_path / "mine" / "tilegate.toml").read_text()
    assert tomllib.loads(text) == {"data": "screenshots", "weights": "imagenet", "classes": "Other,Promo"}
    # The lines that are commented out are the defaults, and would be read as such.
    whole = text.replace("\n# ", "\n").splitlines()
    said = tomllib.loads("\n".join(line for line in whole if " = " in line))
    assert set(said) >= {key_of(parameter.name) for parameter in PARAMETERS}
    (tmp_path / "all.toml").write_text(
        "\n".join(f"{key} = {value!r}".lower() for key, value in said.items() if key not in ("data", "classes"))
    )
    shown = tomllib.loads(say("run", "--config", "all.toml", "--print-config").output)
    assert {key: shown[key] for key in said if key not in ("data", "classes")} == {
        key: value for key, value in said.items() if key not in ("data", "classes")
    }


def test_init_changes_nothing_that_is_there(say, tmp_path):
    (tmp_path / "tilegate.toml").write_text("mine")
    assert "is there already" in str(say("init").exception)
    assert (tmp_path / "tilegate.toml").read_text() == "mine"
    assert "cannot be the name of a folder" in str(say("init", "new", "--classes", "a/b,c").exception)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--epochs", "3"), "Did you mean --fine-tune-epochs (most epochs of fine-tuning)?"),
        (("run", "--limit", "0.1"), "Did you mean --max-fpr (limit of"),
        (("run", "--trials", "3"), "--max-tuning-jobs (trials) or --max-parallel-tuning-jobs"),
        (("run", "--lr", "3"), "--learning-rate-min"),
        (("nightly", "--phone", "3"), "--phones"),
        (("modles", "list"), "Did you mean 'models'?"),
        (("models", "lsit"), "Did you mean 'list'?"),
        (("models", "approve", "1"), "Missing --by (who decides; kept with the version) and --reason (why;"),
        (("release", "publish"), "Missing VERSION and --by"),
        (("models", "approve", "1", "--by", "me"), "Missing option '--reason'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_mistyped_or_missing_is_told_with_what_it_means(say, words, says):
    done = say(*words)
    assert done.exit_code == 2
    assert says in done.output
