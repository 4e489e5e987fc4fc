"""Labels as people's tools write them: what `tilegate data add` makes of each, and the cure that it names if it stops.

The pictures are named for what they show, `n0.png` negative and `p0.png` positive: whatever a case says, no picture may
end on the other side, and none may be left out unless the case says how many.
"""

import io
import json
import re
import unicodedata
from dataclasses import dataclass, field

import pandas as pd
import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.data.catalogue import Catalogue
from pipelines.data.snapshots import current_dataset
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.runs.local_start import LocalStart, RunRequest
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import check_readings

NEGATIVES, POSITIVES = [f"n{n}.png" for n in range(6)], [f"p{n}.png" for n in range(6)]
PICTURES = [*NEGATIVES, *POSITIVES]


@dataclass(frozen=True)
class Case:
    """`files` are written beside the pictures that they name; `refused` rows stay out, `says` is part of the error."""

    name: str
    files: dict[str, bytes]
    options: tuple[str, ...] = ()
    refused: int = 0
    says: str = ""
    pictures: dict[str, str] = field(default_factory=lambda: {name: name for name in PICTURES})

    def __str__(self) -> str:
        return self.name


def side(name):
    return int(name.rpartition("/")[2].startswith("p"))


def classification(name, number, class_name=None, attribute="job", **more):
    metadata = {"confidence": 0.9, "job-name": f"labeling-job/{attribute}", "human-annotated": "yes"}
    metadata |= {"creation-date": "2026-11-23T21:48:33", "type": "groundtruth/image-classification"}
    if class_name is not None:
        metadata["class-name"] = class_name
    return {"source-ref": f"s3://bucket/raw/{name}", attribute: number, f"{attribute}-metadata": metadata, **more}


def job(negative, positive, names=PICTURES, *, first=None, attribute="job", **more):
    """Rows of a job whose categories are in the order that begins with `first`; numbers follow it."""
    order = [positive, negative] if first == positive else [negative, positive]
    called = ((name, positive if side(name) else negative) for name in names)
    return [classification(name, order.index(label), label, attribute, **more) for name, label in called]


def manifest(*rows):
    return {"output.manifest": "".join(json.dumps(row) + "\n" for row in rows).encode()}


def mask(row):
    return row | {"seg-ref": "s3://bucket/seg/x.png", "seg-ref-metadata": {"type": "groundtruth/semantic-segmentation"}}


def box(row):
    found = {"annotations": [{"class_id": 0, "top": 1, "left": 1, "width": 2, "height": 2}], "image_size": []}
    return row | {"boxes": found, "boxes-metadata": {"type": "groundtruth/object-detection", "class-map": {"0": "x"}}}


def verified(row, verdict="good"):
    facts = {"class-name": verdict, "type": "groundtruth/label-verification"}
    return row | {"verify": "0" if verdict == "good" else "1", "verify-metadata": facts}


def failed(name):
    facts = {"retry-count": 1, "failure-reason": "ClientError: Annotation tasks failed", "human-annotated": "true"}
    return {"source-ref": f"s3://bucket/raw/{name}", "job-metadata": facts}


def multi_label(name):
    facts = {"class-map": {"0": "Other", "1": "Promo"}, "type": "groundtruth/image-classification-multilabel"}
    return {"source-ref": name, "job": [0, 1], "job-metadata": facts}


def rekognition(name, class_name):
    return classification(name, 1, class_name, f"testdataset-classification_{class_name}")


def one_of_each(name, first="Other", second="Promo"):
    """An attribute a class, with 1 where the class is there and 0 where it is not."""
    row = classification(name, int(not side(name)), first, first)
    return row | classification(name, side(name), second, second)


def table(text, encoding="utf-8", name="labels.csv"):
    return {name: text.encode(encoding)}


def csv(labels=("0", "1"), *, header="path,label", separator=",", end="\n", extra="", tail="", encoding="utf-8"):
    lines = [header, *(separator.join([name, labels[side(name)]]) + extra for name in PICTURES)]
    return table(end.join(lines) + end + tail, encoding)


def parquet(label, **more):
    sink = io.BytesIO()
    pd.DataFrame({"path": PICTURES, "label": label, **more}).to_parquet(sink)
    return {"labels.parquet": sink.getvalue()}


def folders(*ways):
    """Pictures in folders: `ways` are the folder of a negative and of a positive one, in turns."""
    return {name: f"{ways[n % len(ways)][side(name)]}/{name}" for n, name in enumerate(PICTURES)}


BOTH = "`--classes Other,Promo` if it is 'Promo', `--classes Promo,Other` if it is 'Other'"
OTHER_PROMO = ("--classes", "Other,Promo")
NFD = unicodedata.normalize("NFD", "grün")
GERMAN = "\ufeffpath;label;app;confidence\r\n"

GROUND_TRUTH = [
    Case("plain words", manifest(*job("negative", "positive"))),
    Case("plain words in capitals", manifest(*job("Negative", "POSITIVE"))),
    Case(
        "plain words the other way round",
        manifest(*job("Negative", "Positive", first="Positive")),
        says="say that the names count: `--classes Negative,Positive`",
    ),
    Case(
        "plain words the other way round, said",
        manifest(*job("Negative", "Positive", first="Positive")),
        ("--classes", "Negative,Positive"),
    ),
    Case(
        "one plain word on the wrong side",
        manifest(*job("other", "positive", first="positive")),
        says="`--classes other,positive`",
    ),
    Case("one plain word on its side", manifest(*job("negative", "promo")), says="`--classes negative,promo`"),
    Case("unknown names", manifest(*job("Other", "Promo")), says=BOTH),
    Case(
        "unknown names in the other order",
        manifest(*job("Other", "Promo", first="Promo")),
        says="--classes Other,Promo",
    ),
    Case("unknown names, said", manifest(*job("Other", "Promo")), OTHER_PROMO),
    Case("unknown names in the other order, said", manifest(*job("Other", "Promo", first="Promo")), OTHER_PROMO),
    Case("said in other letters", manifest(*job("Other", "Promo", first="Promo")), ("--classes", " OTHER , promo")),
    Case(
        "said with other accents",
        manifest(*job("gru\u0308n", "Ma\u00dfe", first="Ma\u00dfe")),
        ("--classes", "gr\u00fcn,MASSE"),
    ),
    Case(
        "names with blanks and a comma",
        manifest(*job("no, never", " a sale ", first=" a sale ")),
        ("--classes", '"no, never",a sale'),
    ),
    Case(
        "said, but misspelt",
        manifest(*job("Other", "Promo")),
        ("--classes", "Other,Promotion"),
        says="none is 'Promotion'. If those are the classes: `--classes Other,Promo`",
    ),
    Case(
        "two jobs that disagree",
        manifest(*job("Other", "Promo", PICTURES[::2]), *job("Other", "Promo", PICTURES[1::2], first="Promo")),
        says=BOTH,
    ),
    Case(
        "two jobs that disagree, said",
        manifest(*job("Other", "Promo", PICTURES[::2]), *job("Other", "Promo", PICTURES[1::2], first="Promo")),
        OTHER_PROMO,
    ),
    Case(
        "two jobs with two attributes",
        manifest(
            *job("negative", "positive", PICTURES[::2], attribute="a"),
            *job("negative", "positive", PICTURES[1::2], attribute="b"),
        ),
    ),
    Case(
        "two jobs, one attribute named",
        manifest(
            *job("negative", "positive", PICTURES[::2], attribute="a"),
            *job("negative", "positive", PICTURES[1::2], attribute="b"),
        ),
        ("--label-attribute", "a"),
        says="in 6 rows there is no label attribute 'a', but 'b'",
    ),
    Case(
        "one plain word stands for both numbers",
        manifest(
            *job("negative", "positive", PICTURES[::2]), *job("negative", "positive", PICTURES[1::2], first="positive")
        ),
        says="`--classes negative,positive`",
    ),
    Case(
        "named rows, and numbers without names",
        manifest(
            *job("Other", "Promo", PICTURES[::2], first="Promo"),
            *(classification(name, side(name)) for name in PICTURES[1::2]),
        ),
        OTHER_PROMO,
        says="give each row its class name",
    ),
    Case("numbers alone", manifest(*(classification(name, side(name)) for name in PICTURES))),
    Case("a label that is plain", manifest(*({"path": name, "label": side(name)} for name in PICTURES))),
    Case(
        "chained, no attribute said",
        manifest(
            *(row | classification(row["source-ref"][16:], 0, "x", "second") for row in job("negative", "positive"))
        ),
        says="there are several label attributes, 'job', 'second'",
    ),
    Case(
        "chained, said",
        manifest(*(row | {"old": 0, "old-metadata": {"class-name": "x"}} for row in job("negative", "positive"))),
        ("--label-attribute", "job"),
    ),
    Case(
        "half of it chained",
        manifest(
            *(
                row | ({"old": 0, "old-metadata": {}} if n % 2 else {})
                for n, row in enumerate(job("negative", "positive"))
            )
        ),
        says="`--label-attribute NAME`",
    ),
    Case(
        "an attribute that is not there",
        manifest(*job("negative", "positive")),
        ("--label-attribute", "jobs"),
        says="there is no label attribute 'jobs', but 'job'",
    ),
    Case("masks beside the label", manifest(*map(mask, job("negative", "positive")))),
    Case("masks alone", manifest(*(mask({"source-ref": name}) for name in PICTURES)), says="only a mask"),
    Case("boxes beside the label", manifest(*map(box, job("negative", "positive"))), says="'job', 'boxes'"),
    Case(
        "boxes beside the label, said", manifest(*map(box, job("negative", "positive"))), ("--label-attribute", "job")
    ),
    Case(
        "boxes alone", manifest(*(box({"source-ref": name}) for name in PICTURES)), says="groundtruth/object-detection"
    ),
    Case("multi-label", manifest(*map(multi_label, PICTURES)), says="groundtruth/image-classification-multilabel"),
    Case(
        "some rows multi-label",
        manifest(*job("negative", "positive", PICTURES[2:]), *map(multi_label, PICTURES[:2])),
        says="in 2 rows the attribute 'job' holds no single label",
    ),
    Case("verified", manifest(*map(verified, job("negative", "positive"))), says="'job', 'verify'"),
    Case(
        "verified, the label said", manifest(*map(verified, job("negative", "positive"))), ("--label-attribute", "job")
    ),
    Case(
        "verified, the verdict said",
        manifest(*(verified(row, "bad" if n % 2 else "good") for n, row in enumerate(job("negative", "positive")))),
        ("--label-attribute", "verify"),
        says="'good'",
    ),
    Case("failed rows", manifest(*job("negative", "positive", PICTURES[1:]), failed(PICTURES[0])), refused=1),
    Case("nothing but failed rows", manifest(*map(failed, PICTURES)), says="the labelling failed: ClientError"),
    Case(
        "three categories",
        manifest(
            *job("negative", "positive", PICTURES[2:]), *(classification(name, 2, "unsure") for name in PICTURES[:2])
        ),
        says="`--classes NEGATIVE,POSITIVE`. Rows with other",
    ),
    Case(
        "three categories, two said",
        manifest(
            *job("negative", "positive", PICTURES[2:]), *(classification(name, 2, "unsure") for name in PICTURES[:2])
        ),
        ("--classes", "negative,positive"),
        refused=2,
    ),
    Case(
        "a whole job's folder",
        {
            "manifests/output/output.manifest": manifest(*job("negative", "positive"))["output.manifest"],
            "manifests/intermediate/1/output.manifest": b"",
            "annotations/consolidated.json": b"{}",
        },
    ),
    Case(
        "a job's folder in its project",
        {"jobs/manifests/output/output.manifest": manifest(*job("negative", "positive"))["output.manifest"]},
    ),
    Case(
        "two jobs' folders",
        {
            f"{name}/manifests/output/output.manifest": manifest(*job("negative", "positive"))["output.manifest"]
            for name in "ab"
        },
        says="name one with `--labels FILE`",
    ),
    Case(
        "two jobs' folders, one said",
        {
            f"{name}/manifests/output/output.manifest": manifest(*job("negative", "positive"))["output.manifest"]
            for name in "ab"
        },
        ("--labels", "a/manifests/output/output.manifest"),
    ),
    Case(
        "UTF-16",
        {"output.manifest": manifest(*job("negative", "positive"))["output.manifest"].decode().encode("utf-16")},
        says="no text in UTF-8 (UTF-16)",
    ),
]

REKOGNITION = [
    Case(
        "an attribute a class, all with 1",
        manifest(*(rekognition(name, ("Other", "Promo")[side(name)]) for name in PICTURES)),
        says=BOTH,
    ),
    Case(
        "an attribute a class, said",
        manifest(*(rekognition(name, ("Other", "Promo")[side(name)]) for name in PICTURES)),
        OTHER_PROMO,
    ),
    Case(
        "an attribute a class, plain words",
        manifest(*(rekognition(n, ("negative", "positive")[side(n)]) for n in PICTURES)),
        says="`--classes negative,positive`",
    ),
    Case(
        "an attribute a class, one of them said",
        manifest(*(rekognition(name, ("Other", "Promo")[side(name)]) for name in PICTURES)),
        (*OTHER_PROMO, "--label-attribute", "testdataset-classification_Promo"),
        says="but 'testdataset-classification_Other'",
    ),
    Case("every class for every picture", manifest(*map(one_of_each, PICTURES)), OTHER_PROMO, says="'Other', 'Promo'"),
    Case(
        "one class for every picture",
        manifest(*map(one_of_each, PICTURES)),
        (*OTHER_PROMO, "--label-attribute", "Promo"),
        says="'promo' stands beside 0 and beside 1, and no other name is there",
    ),
    Case(
        "Lookout for Vision",
        manifest(
            *(classification(n, 11 if side(n) else 3, ("normal", "anomaly")[side(n)], "auto-label") for n in PICTURES)
        ),
        says="--classes normal,anomaly",
    ),
    Case(
        "Lookout for Vision, said",
        manifest(*(classification(n, 0, ("normal", "anomaly")[side(n)], "auto-label") for n in PICTURES)),
        ("--classes", "normal,anomaly"),
    ),
]

TABLES = [
    Case("pandas", csv()),
    Case(
        "pandas with its index",
        table(",path,label\n" + "".join(f"{n},{p},{side(p)}\n" for n, p in enumerate(PICTURES))),
    ),
    Case("pandas with a gap in the labels", csv(("0.0", "1.0"), tail="n9.png,\n"), refused=1),
    Case("pandas with truth values", csv(("False", "True"))),
    Case("pandas with a decimal comma", csv(("0,0", "1,0"), header="path;label", separator=";")),
    Case(
        "pandas from a manifest",
        table(
            "path,label,class-name\n" + "".join(f"{p},{1 - side(p)},{('Other', 'Promo')[side(p)]}\n" for p in PICTURES)
        ),
        says=BOTH,
    ),
    Case(
        "pandas from a manifest, said",
        table(
            "path,label,Class_Name\n" + "".join(f"{p},{1 - side(p)},{('Other', 'Promo')[side(p)]}\n" for p in PICTURES)
        ),
        OTHER_PROMO,
    ),
    Case(
        "a table that contradicts its class names",
        table(
            "path,label,class-name\n"
            + "".join(f"{p},{n % 2},{('Other', 'Promo')[side(p)]}\n" for n, p in enumerate(PICTURES))
        ),
        OTHER_PROMO,
        says="stands beside 0 and beside 1: which of the two is right?",
    ),
    Case("Excel in English", csv(end="\r\n", header="Path,Label")),
    Case(
        "Excel in English, CSV UTF-8", table("\ufeffPath,Label\r\n" + "".join(f"{p},{side(p)}\r\n" for p in PICTURES))
    ),
    Case(
        "Excel with empty rows and columns", csv(header="path,label,,", extra=",,", end="\r\n", tail=",,,\r\n" * 1247)
    ),
    Case("Excel in German", table(GERMAN + "".join(f"{p};{side(p)};grün;\r\n" for p in PICTURES))),
    Case("Excel in German, truth values", csv(("FALSCH", "WAHR"), header="path;label", separator=";", end="\r\n")),
    Case("Excel in French, truth values", csv(("FAUX", "VRAI"), header="path;label", separator=";", end="\r\n")),
    Case(
        "Excel in German, CP1252",
        table(GERMAN[1:] + "".join(f"{p};{side(p)};grün;\r\n" for p in PICTURES), "cp1252"),
        says="12 rows are no text in UTF-8, but perhaps in CP1252",
    ),
    Case(
        "Excel, a header in CP1252",
        table("path,label,für\n" + "".join(f"{p},{side(p)},x\n" for p in PICTURES), "cp1252"),
        says="in Excel as `CSV UTF-8`",
    ),
    Case("Excel's Unicode text", csv(separator="\t", header="path\tlabel", encoding="utf-16"), says="(UTF-16)"),
    Case("Excel's text with tabs", csv(separator="\t", header="path\tlabel", end="\r\n")),
    Case("LibreOffice, everything quoted", csv(('"0"', '"1"'), header='"path","label"')),
    Case(
        "LibreOffice in German",
        csv(("negativ", "positiv"), header="path;label", separator=";"),
        says="`--classes negativ,positiv` if it is 'positiv'",
    ),
    Case(
        "LibreOffice in German, said",
        csv(("negativ", "positiv"), header="path;label", separator=";"),
        ("--classes", "negativ,positiv"),
    ),
    Case(
        "LibreOffice in French, said",
        csv(("négatif", "positif"), header="path;label", separator=";"),
        ("--classes", "NÉGATIF,positif"),
    ),
    Case("plain words in capitals in a table", csv((" NEGATIVE", "Positive "))),
    Case("yes and no", csv(("no", "yes")), says="`--classes no,yes` if it is 'yes'"),
    Case("1 and 2", csv(("1", "2")), says="'1' (6 rows), '2' (6 rows)"),
    Case("1 and 2, names said", csv(("1", "2")), OTHER_PROMO, says="which of these numbers is which is never guessed"),
    Case("-1 and 1", csv(("-1", "1")), says="0 is the negative class and 1 the positive one"),
    Case("-1 and 1 with an unlabelled 0", csv(("-1", "1"), tail="n0.png,0\n"), says="'-1' (6 rows)"),
    Case("0, 1 and 2", csv(tail="n0.png,2\np0.png,2\n"), OTHER_PROMO, says="'2' (2 rows)"),
    Case("one word known, the other not", csv(("negative", "promo")), says="`--classes negative,promo`"),
    Case(
        "one typing error in many", csv(tail="".join(f"n{n % 6}.png,0\n" for n in range(40)) + "p0.png,O\n"), refused=1
    ),
    Case(
        "paths of Windows",
        table("path,label\n" + "".join(f"images\\{p},{side(p)}\n" for p in PICTURES)),
        says="the path has backslashes, as Windows writes them",
    ),
    Case(
        "absolute paths",
        table("path,label\n" + "".join(f"/home/me/{p},{side(p)}\n" for p in PICTURES)),
        says="the path is absolute, and leaves the batch's folder: a relative path inside it is wanted",
    ),
    Case("an archive alone", {"delivery.zip": b"PK"}, says="delivery.zip is an archive: unpack it"),
    Case(
        "most pictures are missing",
        csv(tail="".join(f"gone{n}.png,1\n" for n in range(20))),
        says="20 of 32 rows cannot be used, and with more than 50% every run would stop",
    ),
    Case("other names of the columns", csv(header="file,class"), says="'label' and one of source-ref"),
    Case("two tables", csv() | {"more.csv": b"path,label\n"}, says="`--labels FILE`"),
    Case("Parquet, numbers", parquet(list(map(side, PICTURES)))),
    Case("Parquet, truth values", parquet([bool(side(name)) for name in PICTURES])),
    Case(
        "Parquet, categories",
        parquet(pd.Categorical([("other", "promo")[side(n)] for n in PICTURES])),
        ("--classes", "other,promo"),
    ),
    Case(
        "Parquet, categories, nothing said",
        parquet(pd.Categorical([("other", "promo")[side(n)] for n in PICTURES])),
        says="`--classes other,promo` if it is 'promo'",
    ),
    Case("Parquet, 1 and 2", parquet([1 + side(name) for name in PICTURES]), says="'1' (6 rows), '2' (6 rows)"),
    Case(
        "NFC names of files in NFD",
        table("path,label\n" + "".join(f"grün/{p},{side(p)}\n" for p in PICTURES)),
        pictures={name: f"{NFD}/{name}" for name in PICTURES},
    ),
    Case(
        "NFD names of files in NFC",
        table("path,label\n" + "".join(f"{NFD}/{p},{side(p)}\n" for p in PICTURES)),
        pictures={name: f"grün/{name}" for name in PICTURES},
    ),
]

FOLDERS = [
    Case("class folders", {}, pictures=folders(("negative", "positive"))),
    Case("class folders in capitals", {}, pictures=folders(("Negative", "POSITIVE"))),
    Case("class folders by number", {}, pictures=folders(("0", "1"))),
    Case(
        "class folders, apps within",
        {},
        pictures=folders(("negative/mail", "positive/mail"), ("negative/x/y", "positive/z")),
    ),
    Case(
        "other class folders", {}, pictures=folders(("other", "promo")), says="`--classes other,promo` if it is 'promo'"
    ),
    Case("other class folders, said", {}, ("--classes", "Other,PROMO"), pictures=folders(("other", "promo"))),
    Case("one class folder known", {}, pictures=folders(("negative", "promo")), says="`--classes negative,promo`"),
    Case(
        "a third folder",
        {},
        pictures=folders(("negative", "positive"), ("negative", "unsure")),
        says="'unsure' (3 rows)",
    ),
    Case(
        "a third folder, said",
        {},
        ("--classes", "negative,positive"),
        refused=3,
        pictures=folders(("negative", "positive"), ("negative", "unsure")),
    ),
    Case(
        "train and test",
        {},
        pictures=folders(("train/negative", "train/positive"), ("test/negative", "test/positive")),
        says="'test', 'train' are splits",
    ),
    Case(
        "a class within the other",
        {},
        pictures=folders(("negative", "positive"), ("positive/negative", "positive")),
        says="the file lies in folders of both classes",
    ),
    Case("one folder alone", {}, pictures=folders(("a/negative", "a/positive")), says="Its folders are 'a'"),
    Case(
        "a note beside the folders", {"README.txt": b"as agreed"}, pictures=folders(("negative", "positive")), refused=1
    ),
]

CASES = [*GROUND_TRUTH, *REKOGNITION, *TABLES, *FOLDERS]


def made(case, folder):
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name, place in case.pictures.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(name.encode())
    return folder


def added(source, home, *options):
    """Run the command as its program does; return its exit code and what it says."""
    done = CliRunner().invoke(cli, ["data", "add", str(source), "--home", str(home), *options])
    if isinstance(done.exception, UserError):
        return 1, str(done.exception)
    assert done.exception is None, done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("case", CASES, ids=str)
def test_labels_are_taken_as_they_are_meant_or_not_at_all(case, tmp_path):
    (tmp_path / "data").mkdir()
    code, told = added(made(case, tmp_path / "data"), tmp_path / "home", *case.options)
    catalogue = Catalogue(LocalStore(tmp_path / "home" / "store"), Settings())
    if case.says:
        assert case.says in told
        assert (code, catalogue.batches()) == (1, [])
        return
    assert code == 0, told
    (batch,) = catalogue.batches()
    # As any later command reads it, without the options that were given when it was added.
    check_readings([batch], Classes.parse("auto"), None)
    rows, refused = catalogue.rows(batch, Classes.parse("auto"))
    assert {name: label for name, label in zip(rows["path"], rows["label"], strict=True) if side(name) != label} == {}
    assert len(refused) == case.refused
    assert rows["path"].nunique() >= len(PICTURES) - case.refused


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def put(tmp_path, home):
    """Add the named files with their pictures; pictures of another batch are other ones."""

    def put(number, files, *options):
        folder = tmp_path / f"delivery-{number}"
        folder.mkdir()
        made(Case("", files), folder)
        for name in PICTURES:
            (folder / name).write_bytes(f"{number} {name}".encode())
        return added(folder, home, *options)

    return put


def test_every_batch_is_read_as_it_was_added_by_all_later_commands(put, home):
    rows = [row | {"second": side(row["source-ref"]), "second-metadata": {}} for row in job("A", "B", first="B")]
    assert put(1, manifest(*rows), "--classes", "A,B", "--label-attribute", "job")[0] == 0
    assert put(2, manifest(*rows), "--label-attribute", "second")[0] == 0
    assert put(3, csv(("other", "promo")), *OTHER_PROMO)[0] == 0
    catalogue = Catalogue(LocalStore(home / "store"), Settings())
    snapshot = current_dataset(catalogue.data)
    told = snapshot.source.batches(catalogue.store.path(Settings().uri()))
    assert [(batch.classes, batch.attribute) for batch in told] == [("A,B", "job"), ("", "second"), ("Other,Promo", "")]
    for batch in told:
        rows, refused = catalogue.rows(batch, Classes.parse("auto"))
        assert (list(rows["label"]), refused) == ([side(name) for name in rows["path"]], [])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"classes": "Promo,Other"},
            r"--classes Promo,Other contradicts the batch .*, which was added with Other,Promo",
        ),
        ({"classes": "a,b"}, "leave --classes out, then each batch is read as it was added"),
        ({"attribute": "old"}, r"--label-attribute old contradicts the batch .*, which was added with job"),
    ],
)
def test_what_is_said_later_may_not_contradict_a_batch(put, home, options, says):
    assert put(1, manifest(*job("Other", "Promo")), *OTHER_PROMO, "--label-attribute", "job")[0] == 0
    words = {"classes": "--classes", "attribute": "--label-attribute"}
    given = [word for name, value in options.items() for word in (words[name], value)]
    for command in (["data", "show", "00000000"], ["data", "validate"], ["run"]):
        done = CliRunner().invoke(cli, [*command, "--home", str(home), *given])
        assert isinstance(done.exception, UserError)
        assert re.search(says, str(done.exception))


def test_a_name_is_the_positive_class_of_all_batches_or_of_none(put, home):
    assert put(1, manifest(*job("Other", "Promo")), *OTHER_PROMO)[0] == 0
    code, told = put(2, manifest(*job("Other", "Promo")), "--classes", "promo,other")
    assert code == 1
    assert "'promo' is the negative class in the batch that is to be added and the positive one in" in told
    # The very same content, said to be the other way round, is not taken for what is there.
    code, told = added(home.parent / "delivery-1", home, "--classes", "Other,Offer")
    assert (code, "none is 'Offer'" in told) == (1, True)
    assert len(Catalogue(LocalStore(home / "store"), Settings()).batches()) == 1


@pytest.mark.parametrize("positive", ["Promo", "Other"])
def test_at_a_terminal_the_person_is_asked_which_is_the_positive_class(tmp_path, home, monkeypatch, positive):
    (tmp_path / "data").mkdir()
    made(Case("", manifest(*job("Other", "Promo"))), tmp_path / "data")
    monkeypatch.setattr("pipelines.cli.data.add._is_terminal", lambda: True)
    words = ["data", "add", str(tmp_path / "data"), "--home", str(home)]
    done = CliRunner().invoke(cli, words, input=f"{positive}\n")
    assert f"1 is {positive}" in done.output
    (batch,) = Catalogue(LocalStore(home / "store"), Settings()).batches()
    assert batch.classes == ("Other,Promo" if positive == "Promo" else "Promo,Other")


def test_a_run_on_a_folder_takes_the_labels_file_that_is_named(tmp_path, home):
    (tmp_path / "data").mkdir()
    made(Case("", csv() | {"other.csv": b"path,label\nn0.png,1\nn1.png,2\n"}), tmp_path / "data")
    start = LocalStart(home, Settings())
    with pytest.raises(UserError, match="--labels FILE"):
        start.asked(RunRequest(home, tmp_path / "data"))
    snapshot, _ = start.asked(RunRequest(home, tmp_path / "data", labels="labels.csv"))
    assert [batch.labels for batch in snapshot.batches] == ["labels.csv"]
    with pytest.raises(UserError, match=r"'2' \(1 row\)"):
        start.asked(RunRequest(home, tmp_path / "data", labels="other.csv"))


def test_links_that_lead_out_are_told_by_a_run_on_a_folder_as_well(tmp_path, home, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "p0.png").symlink_to(tmp_path / "secret.png")
    (folder / "labels.csv").write_text("path,label\np0.png,1\n")
    with pytest.raises(UserError, match="a symbolic link leads out of the batch's folder: copy the file into it"):
        LocalStart(home, Settings()).asked(RunRequest(home, folder))
    (folder / "n0.png").write_bytes(b"inside")
    (folder / "labels.csv").write_text("path,label\np0.png,1\nn0.png,0\n")
    LocalStart(home, Settings()).asked(RunRequest(home, folder))
    assert "Left out: 1 rows; row 2, p0.png: a symbolic link leads out" in capsys.readouterr().out
    _, told = added(folder, home)
    assert "path, a symbolic link leads out of the batch's folder" in told
