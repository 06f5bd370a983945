"""Answers millions of inputs with an exported SavedModel, on one machine or many, by Apache Beam's RunInference.

    python deploy/beam_infer.py --model saved_models/captioner/flickr8k/export/1 --input 'photos/*.jpg' --output out
    python deploy/beam_infer.py --model EXPORT --input 'texts/*.txt.gz' --output out \
        --direct_running_mode=multi_processing --direct_num_workers=8

It imports Beam, TensorFlow and NumPy, and nothing of the checkout: a worker needs the SavedModel alone. The signatures
of the SavedModel show the task. A captioner takes image files; a recognizer takes WAV files of 16 bits and 16,000 Hz; a
translator and a language model take text files, gzipped or not, and answer each line. Options that --help does not list
are Beam's.

    plan.jsonl                       what is answered; written first, and kept by every restart
    answers-00003-of-00012.jsonl     an object for each input: its name, in a text file its line, and what the command
                                     of the task writes with --json, as far as the SavedModel returns it
    errors-00003-of-00012.jsonl      an object for each input without an answer, with the reason; only if there are some

The inputs are divided into parts. One worker answers a part, in batches that depend on its inputs alone, and the files
of a part appear complete or not at all. So the same command continues after an interruption: it answers the parts that
are missing, and leaves the files that a run without interruption leaves.

Exit codes: 0 success; 1 some inputs have no answer; 2 wrong usage, or no input has an answer.
"""

import argparse
import contextlib
import functools
import glob
import gzip
import hashlib
import io
import json
import logging
import math
import os
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

logging.getLogger().setLevel(logging.ERROR)  # Beam warns of packages that are not needed here while it is imported
try:
    import apache_beam as beam
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.metrics import Metrics
    from apache_beam.ml.inference.base import ModelHandler, RunInference
    from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions, WorkerOptions
except ImportError as error:
    sys.exit(f"error: {error}; Apache Beam was expected: make .venv-beam/ready, or pip install apache-beam tensorflow")

MISSING = -1e9  # the log_prob of what has no answer
MAX_FILE = 256 * 1024**2  # bytes of an image or a sound
MAX_LINE = 1_000_000  # bytes of a line
MAX_PART_TEXT = 16 * 1024**2  # bytes of the lines of a part, which are in memory together
UNUSED = {"attention", "sentinel"}  # outputs that are too large for JSON
METRICS = "quatrain"  # namespace of Beam's metrics: answered, refused, batch_milliseconds, and those of RunInference
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # TensorFlow would report each damaged file


class Refused(Exception):
    """Why an input has no answer, or what is wrong with an argument: one line."""


# --- the tasks ------------------------------------------------------------------------------------------------------

Row = Mapping[str, Any]  # the outputs of an endpoint for one input, by name


def texts(tokens: Iterable[bytes]) -> list[str]:
    """Tokens without the empty ones, which are padding."""
    return [token.decode("utf-8", "replace") for token in tokens if token]


def hypotheses(row: Row, *numbers: str) -> list[dict[str, Any]]:
    """The results of a beam search, best first."""
    return [
        {
            "text": row["text"][i].decode("utf-8", "replace"),
            **{name: round(float(row[name][i]), 4) for name in numbers},
            "tokens": texts(row["tokens"][i]),
        }
        for i in range(len(row["text"]))
        if row["log_prob"][i] > MISSING
    ]


def captions(content: bytes, row: Row) -> dict[str, Any]:
    del content
    return {"captions": hypotheses(row, "log_prob")}


def translations(content: bytes, row: Row) -> dict[str, Any]:
    return {"source": content.decode("utf-8", "replace"), "translations": hypotheses(row, "log_prob", "score")}


def score(content: bytes, row: Row) -> dict[str, Any]:
    text, tokens = content.decode("utf-8", "replace"), texts(row["tokens"])
    log_prob, log_probs = float(row["log_prob"]), [float(x) for x in row["token_log_probs"][: len(tokens)]]

    def perplexity(log_prob: float, count: int) -> float:
        return round(math.exp(min(-log_prob / count, 700)), 4)

    return {
        "text": text,
        "log_prob": round(log_prob, 4),
        "perplexity": perplexity(log_prob, len(tokens)),
        "without_end": perplexity(sum(log_probs[:-1]), len(tokens) - 1) if len(tokens) > 1 else None,
        "bits_per_character": round(-log_prob / math.log(2) / (len(text) + 1), 4),
        "tokens": tokens,
        "log_probs": [round(x, 4) for x in log_probs],
    }


def recognitions(content: bytes, row: Row) -> dict[str, Any]:
    del content
    phones = [
        {
            "phone": phone.decode(),
            **{name: round(float(row[name][i]), 3) for name in ("start", "end")},
            "probability": round(float(row["probability"][i]), 4),
        }
        for i, phone in enumerate(row["phonemes"])
        if phone
    ]
    best = {"log_prob": round(float(row["log_prob"]), 4), "phones": phones}
    return {"speech": bool(phones), "recognitions": [best]}


def count_pixels(content: bytes) -> int:
    """The pixels of an image file as its header has them; 0 if it cannot be read."""
    import tensorflow as tf

    def integers(start: int, size: int, byte_order: Any) -> int:
        first, second = content[start : start + size], content[start + size : start + 2 * size]
        return int.from_bytes(first, byte_order) * int.from_bytes(second, byte_order)

    if content.startswith(b"\x89PNG"):
        return integers(16, 4, "big")
    if content.startswith(b"GIF8"):
        return integers(6, 2, "little")
    if content.startswith(b"BM"):
        return integers(18, 4, "little")
    try:
        return math.prod(tf.io.extract_jpeg_shape(content).numpy().tolist()[:2])
    except tf.errors.OpError:
        return 0


class Task(NamedTuple):
    """How the inputs of a task are read, and its outputs written."""

    endpoint: str
    is_text: bool  # an input is a line of a file, not a file
    size: Callable[[bytes], int]  # of an input, in the unit of `max_size`
    max_size: int  # of a batch: its rows, each as large as the largest; a single input may be larger
    record: Callable[[bytes, Row], dict[str, Any]]


TASKS = {  # by an endpoint that no other task has; limits as on the command line: 50 million pixels, 5 minutes of sound
    "caption_bytes": Task("caption_bytes", False, count_pixels, 50_000_000, captions),
    "translate": Task("translate", True, len, 64 * 1024, translations),
    "generate": Task("score", True, len, 64 * 1024, score),
    "recognize": Task("serving_default", False, len, 2 * 300 * 16_000, recognitions),
}


def find_task(model: str) -> str:
    """The key of `TASKS` for a SavedModel; raises Refused for anything else."""
    from tensorflow.core.protobuf import saved_model_pb2

    wrong = Refused(f"--model {model}: a SavedModel was expected, such as saved_models/TASK/RUN/export/1")
    try:
        with FileSystems.open(f"{model}/saved_model.pb") as file:
            signatures = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].signature_def
    except Exception:  # depends on the file system, and on what the file holds
        raise wrong from None
    found = [name for name in TASKS if name in signatures]
    if not found:
        raise Refused(f"--model {model}: one of the endpoints {', '.join(TASKS)} was expected in the SavedModel")
    return found[0]


def fingerprint(model: str) -> str:
    """SHA-256 of the graph and of the index of the weights, which has a checksum of each."""
    digest = hashlib.sha256()
    for name in ("saved_model.pb", "variables/variables.index"):
        with FileSystems.open(f"{model}/{name}", compression_type=CompressionTypes.UNCOMPRESSED) as file:
            digest.update(file.read())
    return digest.hexdigest()


# --- the plan -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Part:
    """Inputs that one worker answers: files, or successive lines of one file."""

    number: int
    files: list[str]
    line: int = 1  # number of the first line, from 1
    count: int = 0  # of lines; 0: the inputs are files
    offset: int = 0  # of the first line, in bytes after decompression
    error: str = ""  # why the file cannot be read, if that is known already


def open_text(name: str) -> Any:
    file = FileSystems.open(name, compression_type=CompressionTypes.UNCOMPRESSED)
    return gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file


def read_lines(file: Any) -> Iterator[tuple[bytes, int]]:
    """Each line, cut after `MAX_LINE` bytes and one more, and its length in the file. LF or CRLF ends a line."""
    while line := file.readline(MAX_LINE + 2):
        length = len(line)
        rest = line
        while len(rest) == MAX_LINE + 2 and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 2)
            length += len(rest)
        yield (line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line)[: MAX_LINE + 1], length


def check_regular(name: str) -> None:
    """Raises Refused for a local folder, pipe or device: reading it might never end."""
    if os.path.exists(name) and not os.path.isfile(name):
        raise Refused("is not a regular file, which was expected")


def reason_of(error: Exception) -> str | None:
    """Why a file cannot be read, if the file itself is the cause; None if it may be read at another time."""
    if isinstance(error, BeamIOError):
        causes = [cause for cause in (error.exception_details or {}).values() if isinstance(cause, Exception)]
        return reason_of(causes[0]) if causes else None
    if isinstance(error, FileNotFoundError):
        return "does not exist; a file was expected"
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return "is a damaged or truncated gzip file; a complete file was expected"
    return str(error) if isinstance(error, Refused) else None


def plan_lines(name: str, size: int) -> list[dict[str, Any]]:
    """The parts of a text file, at most `size` lines each; one with an error if it cannot be read."""
    parts, count, start, offset, total = [], 0, 0, 0, 0

    def end_part() -> None:
        parts.append({"files": [name], "line": total - count + 1, "count": count, "offset": start})

    try:
        check_regular(name)
        with open_text(name) as file:
            for _, length in read_lines(file):
                count, offset, total = count + 1, offset + length, total + 1
                if count == size or offset - start > MAX_PART_TEXT:
                    end_part()
                    count, start = 0, offset
    except Exception as error:
        if (reason := reason_of(error)) is None:
            raise
        return [{"files": [name], "error": reason}]
    if count:
        end_part()
    return parts


def find_files(pattern: str) -> list[str]:
    """The files that match; raises Refused if there are none."""
    if os.path.isdir(pattern):
        raise Refused(f"--input {pattern}: is a folder; a pattern of files was expected, such as {pattern}/*")
    if "://" in pattern:
        found = [metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list]
    else:  # Beam's own search does not know the current folder
        found = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    files = [name for name in found if not os.path.isdir(name)]
    if not files:
        raise Refused(f"--input {pattern}: no file matches")
    return files


def make_plan(patterns: Sequence[str], is_text: bool, size: int) -> list[Part]:
    """The parts of the files that match, in the order of names."""
    files = sorted({name for pattern in patterns for name in find_files(pattern)})
    whole: list[dict[str, Any]] = [{"files": files[i : i + size]} for i in range(0, len(files), size)]
    fields = [part for name in files for part in plan_lines(name, size)] if is_text else whole
    if not fields:
        raise Refused(f"--input {', '.join(patterns)}: the files have no lines")
    return [Part(number=number, **part) for number, part in enumerate(fields)]


def as_json(value: Any) -> bytes:
    """A line of JSON; names of files need not be valid Unicode."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def write(output: str, name: str, content: bytes) -> None:
    """Writes a file completely or not at all."""
    temporary = f"{output}/temporary/{uuid.uuid4().hex}"
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(content)
    FileSystems.rename([temporary], [f"{output}/{name}"])


def settle_plan(output: str, wanted: Mapping[str, Any], make: Callable[[], list[Part]]) -> int:
    """Writes the plan, unless an earlier run has; returns its number of parts. Raises Refused if that run differs."""
    path = f"{output}/plan.jsonl"
    if FileSystems.exists(path):
        with FileSystems.open(path) as file:
            earlier = json.loads(file.readline())
        for name, value in wanted.items():
            if earlier.get(name) != value:
                before = f"was started with another {name} ({earlier.get(name)}), not {value}"
                raise Refused(f"--output {output}: {before}; another folder was expected, or the same {name}")
        return earlier["parts"]
    parts = make()
    lines = [{**wanted, "parts": len(parts)}, *map(asdict, parts)]
    write(output, path.rpartition("/")[2], b"".join(map(as_json, lines)))
    return len(parts)


# --- answers --------------------------------------------------------------------------------------------------------


class Input(NamedTuple):
    """An input of a part, or why it cannot be read."""

    position: int  # among the part's inputs
    key: dict[str, Any]  # its name, and its line
    content: bytes = b""
    error: str = ""


def read_part(part: Part) -> Iterator[Input]:
    """The inputs of a part: files one at a time, or all of its lines, the shortest first, so that batches need little
    padding."""
    if part.count:
        yield from sorted(read_part_lines(part), key=lambda line: len(line.content))
        return
    for position, name in enumerate(part.files):
        try:
            if part.error:
                raise Refused(part.error)
            yield Input(position, {"input": name}, read_file(name))
        except Exception as error:
            if (reason := reason_of(error)) is None:
                raise
            yield Input(position, {"input": name}, error=reason)


def read_file(name: str) -> bytes:
    check_regular(name)
    with FileSystems.open(name, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise Refused(f"has more than {MAX_FILE:,} bytes")
    return content


def read_part_lines(part: Part) -> Iterator[Input]:
    (name,) = part.files
    with open_text(name) as file:
        file.seek(part.offset)
        lines = read_lines(file)
        for position in range(part.count):
            key = {"input": name, "line": part.line + position}
            line, length = next(lines, (b"", 0))
            if not length:
                yield Input(position, key, error="does not exist; the file has changed since it was planned")
            elif len(line) > MAX_LINE:
                yield Input(position, key, error=f"has more than {MAX_LINE:,} bytes; split it")
            else:
                yield Input(position, key, line if key["line"] > 1 else line.removeprefix(b"\xef\xbb\xbf"))


def batches(inputs: Iterable[Input], task: Task, max_rows: int) -> Iterator[list[Input]]:
    """Inputs in batches of bounded size; those that cannot be read take no room."""
    batch: list[Input] = []
    largest = 0
    for each in inputs:
        largest = max(largest, size := 0 if each.error else task.size(each.content))
        if batch and (len(batch) == max_rows or (len(batch) + 1) * largest > task.max_size):
            yield batch
            batch, largest = [], size
        batch.append(each)
    if batch:
        yield batch


class Model:
    """An endpoint of a SavedModel. Beam calls `answer` through a proxy if processes share it."""

    def __init__(self, folder: str, endpoint: str):
        import tensorflow as tf

        self.loaded = tf.saved_model.load(folder)  # its variables live as long as it does
        self.function = self.loaded.signatures[endpoint]
        (self.argument,) = self.function.structured_input_signature[1]

    def answer(self, contents: Sequence[bytes]) -> list[dict[str, Any]]:
        """The outputs for each input, `error` among them. What fails in a batch is tried alone."""
        import tensorflow as tf

        try:
            outputs = self.function(**{self.argument: tf.constant(contents, tf.string)})
        except tf.errors.OpError as error:
            if len(contents) > 1:
                return [row for content in contents for row in self.answer([content])]
            reason = f"cannot be answered ({error.message.partition(chr(10))[0]})"
            return [{"error": reason.encode(), "log_prob": MISSING}]
        arrays = {name: x.numpy() for name, x in outputs.items() if name not in UNUSED}
        return [{name: x[i] for name, x in arrays.items()} for i in range(len(contents))]


class SavedModelHandler(ModelHandler[str, tuple[int, bytes, bytes], Model]):
    """Answers parts, lines of the plan, with a SavedModel: the number of a part, its answers and its errors.

    To Beam, a part is one input. Its batches have sizes that follow from the time that they take; those of a part are
    always the same, and no more than one of images or sounds is in memory.
    """

    def __init__(self, folder: str, task: str, batch_size: int, model_copies: int | None):
        super().__init__(model_copies=model_copies, env_vars=QUIET)
        self.folder, self.task, self.batch_size = folder, TASKS[task], batch_size

    def get_metrics_namespace(self) -> str:
        return METRICS

    def load_model(self) -> Model:
        return Model(self.folder, self.task.endpoint)

    def run_inference(
        self, batch: Sequence[str], model: Model, inference_args: Any = None
    ) -> Iterator[tuple[int, bytes, bytes]]:
        del inference_args
        return (self.answer(Part(**json.loads(line)), model) for line in batch)

    def answer(self, part: Part, model: Model) -> tuple[int, bytes, bytes]:
        answers: dict[int, bytes] = {}
        errors: dict[int, bytes] = {}
        for batch in batches(read_part(part), self.task, self.batch_size):
            readable = [each for each in batch if not each.error]
            start = time.monotonic()
            rows = iter(model.answer([each.content for each in readable]) if readable else ())
            Metrics.distribution(METRICS, "batch_milliseconds").update(int(1000 * (time.monotonic() - start)))
            for each in batch:
                row = {"error": each.error.encode(), "log_prob": MISSING} if each.error else next(rows)
                error = row["error"].decode("utf-8", "replace")
                if error and np.ravel(row["log_prob"])[0] <= MISSING:
                    errors[each.position] = as_json({**each.key, "error": error})
                else:
                    notice = {"notice": error} if error else {}
                    answers[each.position] = as_json({**each.key, **self.task.record(each.content, row), **notice})
        Metrics.counter(METRICS, "answered").inc(len(answers))
        Metrics.counter(METRICS, "refused").inc(len(errors))
        return part.number, in_order(answers), in_order(errors)


def in_order(lines: Mapping[int, bytes]) -> bytes:
    return b"".join(line for _, line in sorted(lines.items()))


# --- the pipeline ---------------------------------------------------------------------------------------------------


def file_name(kind: str, number: int, parts: int) -> str:
    return f"{kind}-{number:05}-of-{parts:05}.jsonl"


def is_missing(line: str, output: str, parts: int) -> bool:
    """Whether a part, as a line of the plan, has no answers yet."""
    return not FileSystems.exists(f"{output}/{file_name('answers', json.loads(line)['number'], parts)}")


def write_part(result: tuple[int, bytes, bytes], output: str, parts: int) -> None:
    """Writes the files of a part; that of the answers comes last, because a restart looks for it."""
    number, answers, errors = result
    if errors:
        write(output, file_name("errors", number, parts), errors)
    write(output, file_name("answers", number, parts), answers)


def run_pipeline(options: argparse.Namespace, pipeline_options: PipelineOptions, task: str, parts: int) -> Any:
    """Runs the pipeline over the parts that are missing; returns its result."""
    output = options.output
    handler = SavedModelHandler(options.model, task, options.batch_size, options.model_copies)
    pipeline = beam.Pipeline(options=pipeline_options)
    _ = (
        pipeline
        | "Plan" >> beam.io.ReadFromText(f"{output}/plan.jsonl", skip_header_lines=1)
        | "Missing" >> beam.Filter(is_missing, output, parts)
        | "Distribute" >> beam.Reshuffle()
        | "Batch" >> beam.Map(lambda line: [line])
        | "Answer" >> RunInference(handler.with_no_batching())
        | "Write" >> beam.Map(write_part, output, parts)
    )
    result = pipeline.run()
    result.wait_until_finish()
    return result


def find_sizes(output: str, kind: str) -> list[int]:
    """The sizes in bytes of all files of a kind."""
    found = FileSystems.match([f"{output}/{kind}-*-of-*.jsonl"])[0].metadata_list
    return [metadata.size_in_bytes for metadata in found]


# --- the command line -----------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; see --help")


def bounded(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
            raise argparse.ArgumentTypeError(f"{text[:80]}: a number from {low} to {high:,} was expected")
        return int(text)

    return parse


def parse(arguments: list[str]) -> tuple[argparse.Namespace, PipelineOptions]:
    """The options of this program and those of Beam; raises Refused if they are wrong."""
    parser = Parser(
        prog="python deploy/beam_infer.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the SavedModel")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATTERN", help="files; ** also matches folders")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the files are written")
    parser.add_argument("--part-size", type=bounded(1, 100_000), default=500, help="inputs of a part (default: 500)")
    parser.add_argument("--batch-size", type=bounded(1, 1024), default=32, help="most inputs of a batch (default: 32)")
    parser.add_argument(
        "--model-copies", type=bounded(1, 1024), help="models that all processes of a worker share (default: one each)"
    )
    options, others = parser.parse_known_args(arguments)
    options.model, options.output = options.model.rstrip("/"), options.output.rstrip("/")
    if glob.has_magic(options.output):
        raise Refused(f"--output {options.output}: a name without *, ? and [ was expected")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            pipeline_options = PipelineOptions(others)
            known = pipeline_options.get_all_options()
            unknown = pipeline_options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    except SystemExit:
        raise Refused(complaint.getvalue().strip().rpartition("error: ")[2]) from None
    if unknown:
        raise Refused(f"--{min(unknown)}: neither an option of this program nor of Beam; see --help")
    # Without them, DirectRunner first downloads Prism, a runner written in Go. There are no triggers here.
    pipeline_options.view_as(TypeOptions).allow_unsafe_triggers = True
    if not pipeline_options.view_as(WorkerOptions).default_sdk_harness_log_level:
        pipeline_options.view_as(WorkerOptions).default_sdk_harness_log_level = "ERROR"
    return options, pipeline_options


def run(arguments: list[str]) -> int:
    options, pipeline_options = parse(arguments)
    task = find_task(options.model)
    wanted = {name: getattr(options, name) for name in ("input", "part_size", "batch_size")}
    wanted["model"] = fingerprint(options.model)
    make = functools.partial(make_plan, options.input, TASKS[task].is_text, options.part_size)
    parts = settle_plan(options.output, wanted, make)
    earlier = len(find_sizes(options.output, "answers"))
    counts = {"answered": 0, "refused": 0}
    if earlier < parts:
        metrics = run_pipeline(options, pipeline_options, task, parts).metrics().query()
        counts |= {
            counter.key.metric.name: counter.result
            for counter in metrics["counters"]
            if counter.key.metric.name in counts
        }
    with contextlib.suppress(BeamIOError):  # files of runs that were killed
        FileSystems.delete([f"{options.output}/temporary"])
    now = f"{counts['answered']:,} answered, {counts['refused']:,} refused"
    print(f"{options.output}: {now}; {parts - earlier:,} of {parts:,} parts now, {earlier:,} before")
    if not sum(find_sizes(options.output, "answers")):
        return 2
    return 1 if find_sizes(options.output, "errors") else 0


def main(arguments: list[str]) -> int:
    os.environ.update(QUIET)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("error: interrupted; the same command continues", file=sys.stderr)
        return 130
    except Refused as error:
        message = str(error)
    except Exception as error:  # of a runner: the last line of its report names the cause
        message = (str(error).strip() or type(error).__name__).splitlines()[-1]
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
