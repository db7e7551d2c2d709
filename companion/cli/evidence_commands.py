"""What the commands of `companion` do that make evidence and judge by it: features to verdicts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from analysis.base.files import check_writable, is_stream, write_output
from analysis.base.roots import ROOT, SHIPPED
from analysis.families import registry
from companion.cli.extraction import extracted
from companion.engine.experiments import RunError
from companion.measurements.quantities import Measurable
from companion.runs.options import (
    Extraction,
    FamilyName,
    Json,
    Probing,
    Storing,
    option,
)

if TYPE_CHECKING:
    from companion.measurements.measurement import Measurement


def extract(
    family: FamilyName,
    extraction: Extraction,
    model: Annotated[tuple[str, ...], option("only these models (default: all)")] = (),
    checkpoint: Annotated[Path | None, option("weights for the single model named")] = None,
) -> None:
    """Compute features of images with the models of a family.

    companion extract pocket_cnn --data pocket
    companion extract vit_b_32 --model vit_b_32-openai --data pictures/ --precision bf16
    """
    registry.load_families()  # no two may have models of one name
    whole = registry.load_family(family)
    chosen = [whole.model(name) for name in model] or [m for m in whole.models if m.loadable]
    if not extraction.data:
        raise RunError("--data is missing: name a data set, or a folder of images.")
    if checkpoint and not checkpoint.exists():
        raise RunError(f"there are no weights at {checkpoint}: check the path.")
    for line in extracted(extraction, chosen, extraction.images(), checkpoint):
        print(line)
    registry.load_family(family)  # or it was removed meanwhile


def measure(
    experiment: Annotated[Measurable, option("what to measure", placed=True)],
    family: FamilyName,
    record: Annotated[bool, option("write the measurements to data/measurements")] = False,
    annotated: Annotated[
        bool, option("for Broden: take negatives from images annotated in the concept's category")
    ] = False,
    least_percent: Annotated[
        int,
        option("for Broden: least percent of a mask that shows a concept (0: one pixel)", least=0),
    ] = 0,
    csv: Annotated[Path | None, option("file for every number that was measured")] = None,
) -> int:
    """Take the measurements of an experiment for a family, and compare them with the recorded ones.

    In a checkout, data/embeddings/make.py enters features that others published into the store.
    Readings of Broden other than the plain one are kept under names of their own. A file that is
    recorded keeps its numbers: where they are equal it is signed by the code of today, where they
    differ it stays as it is and the command says which do.

    companion measure outlier_features vit_b_16
    companion measure outlier_features vit_b_16 --record
    companion measure quantisation mine --csv mine.csv
    """
    from companion.measurements import export, from_store, pending, records
    from companion.measurements.concept_probe import Reading

    reading = Reading(annotated, least_percent)
    if reading != Reading() and (experiment != "concepts" or least_percent > 100):
        raise RunError(
            "--annotated and --least-percent (up to 100) say how Broden is read for concepts: use "
            "them with `companion measure concepts FAMILY`."
        )
    _check_writable(record, csv)
    registry.load_families()  # no two may have models of one name
    described = registry.load_family(family)
    taken, problems = from_store.of_family(experiment, described, reading=reading)
    if problems and not taken:
        raise RunError(" ".join(problems))
    if not taken:
        why = pending.in_words([pending.lack([experiment], described, m) for m in described.models])
        raise RunError(f"{experiment} of {family} cannot be measured: {why}.")
    if csv:
        write_output(csv, export.as_csv(export.table_of(taken)))
    differ = [_differs(measurement, record) for measurement in taken]
    left_out = problems + records.unusable_features(described)
    lacking = pending.not_measured(experiment, described, {m.model for m in taken})
    sys.stderr.writelines(f"{said}\n" for said in left_out or lacking)
    return int(any(differ) or bool(left_out))


def _check_writable(record: bool, csv: Path | None) -> None:
    """Raise RunError if there is no place for what was asked for."""
    if record and ROOT == SHIPPED:
        raise RunError(
            "--record writes to data/measurements of a checkout, and there is none here: change to "
            "a checkout, or set COMPANION_ROOT to it."
        )
    if csv:
        check_writable(csv, suffix=".csv")


def _differs(m: Measurement, record: bool) -> bool:
    """Compare a measurement with the recorded ones, or record it unless they contradict it."""
    from companion.chapters.notes import in_brief
    from companion.checks import agreement
    from companion.measurements import records
    from companion.measurements.measurement import MeasurementError

    wrong = [*agreement.copies(m, records.read_all(m.experiment, m.family))]
    differing = wrong or ([] if record else records.compare_with_recorded(m))
    compared = f"{m.file_name}: {'; '.join(differing) or 'as recorded'}"
    try:
        print(records.record(m) if record and not wrong else compared)
    except MeasurementError as error:
        differing = [str(error)]
        print(f"{m.file_name}: {error}")
    print(f"  {in_brief(m)}")
    return differing not in ([], ["not recorded"])  # which is no difference


def check(
    paths: Annotated[
        tuple[Path, ...],
        option("files or folders (default: data/measurements)", placed=True),
    ] = (),
) -> int:
    """Check recorded measurements: form, provenance, sums, agreement with families and other files.

    companion check data/measurements/pruning/rn50-openai--imagenet.json
    """
    from companion.checks import plausible

    described = registry.load_families() | registry.load_families("zoo")
    lines, wrong = plausible.report(plausible.files(paths), described)
    print(*lines, sep="\n")
    return int(wrong > 0)


def claims(
    as_json: Json = False,
    measurements: Annotated[Path | None, option("judge by the files of this folder alone")] = None,
    edition: Annotated[
        Literal["paper", "pocket"], option("whose models (default: paper)")
    ] = "paper",
) -> None:
    """Judge the paper's claims: print each outcome, its coverage and the numbers behind it.

    companion claims
    companion claims --json --measurements my-measurements/
    """
    from companion.chapters import claim_cards, claim_data
    from companion.claims import evidence, ledger, rules

    gathered = evidence.gather(edition, measurements)
    if as_json:
        print(claim_data.as_json(edition, gathered), end="")
        return
    print("\n".join(claim_cards.lines(rules.judge_all(gathered, ledger.load_claims()))))


def export(
    file: Annotated[
        Path,
        option("CSV, Parquet or JSON file, or folder (no ending), to write; - is CSV", placed=True),
    ],
) -> None:
    """Write what is known for other programs. A CSV file has every measured number, recorded or
    live: each row has a model, images, a quantity, its unit and the kind of evidence. A Parquet
    file has one row for each quantity of a model, with all its numbers; a folder gets one such file
    for each data set. A JSON file has every claim with its verdict, rule, numbers, evidence and
    error rates.

    companion export measurements.csv
    companion export measurements.parquet
    companion export measurements/
    companion export claims.json
    """
    from companion.chapters import claim_data
    from companion.measurements import export as exporting

    said = sys.stderr if is_stream(file) else sys.stdout
    if file.suffix == ".json":
        check_writable(file)
        write_output(file, text := claim_data.as_json())
        print(f"{file}: {len(json.loads(text)['claims'])} claims", file=said)
        return
    folder = file.is_dir() or not (file.suffix or file.exists() or is_stream(file))
    parquet = folder or file.suffix == ".parquet"
    if folder:
        check_writable(file / "any" if file.is_dir() else file)
    else:
        check_writable(file, suffix=".parquet" if parquet else ".csv")
    families = registry.load_families() | registry.load_families("zoo")
    if parquet:
        table = exporting.whole_quantities(families)
        exporting.write_parquet(table, file, folder=folder)
    else:
        table = exporting.everything(families)
        write_output(file, exporting.as_csv(table))
    what = "quantities" if parquet else "numbers"
    print(f"{file}: {len(table):,} {what} of {table['model'].nunique()} models", file=said)


def probe(
    options: Probing,
    quiet: Annotated[bool, option("print the verdict alone", short="-q")] = False,
) -> None:
    """Look for the paper's sign of robustness in one checkpoint. The sign is outlier features. You
    need a folder of images, but no labels and no shifted data; a few hundred images of the kind
    that matters to you are enough.

    companion probe pocket-cnn-web-large --images pictures/
    companion probe ViT-B-32/laion2b_s34b_b79k --images pictures/ --html report.html
    companion probe weights.safetensors --architecture RN50 --images pictures/ --json probe.json
    companion probe ViT-B-32/openai --images pictures/ --rotation rotation.safetensors
    """
    from companion.measurements.records import to_text
    from companion.probe import checkpoint, report, rotation
    from companion.probe.judge import Probe

    registry.load_families()  # no two may have models of one name
    wanted = [path for path in (options.html, options.json_file, options.rotation) if path]
    check_writable(*wanted)
    print(f"loading {options.checkpoint} …", file=sys.stderr, flush=True)
    rotation.check_place(options.rotation)
    said, told = sys.stderr if any(map(is_stream, wanted)) else sys.stdout, list[str]()

    def first(judged: Probe) -> None:
        told.append(judged.sentence)
        print(judged.sentence, file=said, flush=True)
        print("measuring the directions of the head …", file=sys.stderr, flush=True)

    result = checkpoint.of_checkpoint(options, first)
    if options.html:
        checkpoint.write_page(result, options.html)
    if options.json_file:
        write_output(options.json_file, to_text(result.measurement))
    if options.rotation:
        rotation.write(result.measurement.counts["components"], options.rotation)
    if not told:
        print(result.sentence, file=said)
    if not quiet:
        print(f"\n{report.summary(result)}", file=said)
    if quiet and (left_out := report.left_out_of(result)):
        print(f"{result.measurement.data.what}: {left_out}", file=said)
    if not quiet:
        print(*wanted, sep="\n", file=said)
    if options.rotation:
        print(rotation.lines(options.rotation), file=said)


def bits(options: Storing) -> None:
    """Tell whether to rotate stored embeddings before they are quantised. Nothing but the file is
    needed. The table has the share of nearest neighbours that few bits keep, by the schemes of
    faiss, Qdrant, Lucene, pgvector and others: as written, without the mean, and rotated.

    companion bits embeddings.npy
    companion bits images.parquet --column embedding --html bits.html
    companion bits index.faiss --by inner-product --rotation rotation.safetensors
    """
    from companion import bits as the_bits
    from companion.cli import recipes
    from companion.engine import style
    from companion.probe import rotation
    from companion.sources import vectors

    names = ("html", "svg", "csv", "rotation", "mean")
    wanted = [path for name in names if (path := getattr(options, name))]
    check_writable(*wanted)
    rotation.check_place(options.rotation)
    if options.mean:
        check_writable(options.mean, suffix=".npy")
    held = vectors.read(options.file, options.column, options.rows)
    texts = vectors.read(options.texts).rows if options.texts else None
    found = the_bits.bits(
        held.rows,
        texts,
        by=options.by or held.by or "cosine",
        rows=options.rows,
        total=held.total,
        rows_are_vectors=held.rows_are_vectors,
        progress=True,
    )
    if options.html:
        write_output(options.html, found.page())
    if options.svg:
        write_output(options.svg, style.to_svg(found.picture()))
    if options.csv:
        write_output(options.csv, style.to_csv(found.to_frame()))
    blocks = []
    if options.rotation:
        rotation.write(len(found.mean), options.rotation)
        blocks.append(recipes.of_file(found.by, "rotated", options.rotation))
    if options.mean:
        rotation.write_mean(found.mean, options.mean)
        blocks.append(recipes.of_file(found.by, "mean_off", options.mean))
    if len(blocks) == 2:
        blocks = ["# Either rotate:", blocks[0], "\n# or take the mean off, not both:", blocks[1]]
    said = sys.stderr if any(map(is_stream, wanted)) else sys.stdout
    print(found, *wanted, *blocks, sep="\n", file=said)


COMMANDS = (extract, measure, check, claims, export, probe, bits)
