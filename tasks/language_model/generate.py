"""Continues a prompt.

    python -m tasks.language_model.generate --prompt "the meaning of"
    python -m tasks.language_model.generate --prompt "the" --samples 5 --temperature 0.8 --top-p 0.9 --seed 3
    python -m tasks.language_model.generate --file prompts.txt --json --output continued.jsonl
    python -m tasks.language_model.generate --prompt "Once upon a time" --max-tokens 0 --save-state begun.safetensors
    python -m tasks.language_model.generate --load-state begun.safetensors --prompt "there was"

Prompts are ordinary text, or split into tokens like the corpus of the model; continuations are ordinary text, or tokens
with `--form tokens`. Words are written as they are sampled, `</s>` as a line break. `--prompt` may be repeated; with
`--file` each line is a prompt, answered when it arrives. `--save-state` writes the recurrent state after the
prompt, and the end of its last line, at most 1,000 tokens: read once, then continue in many ways. `--json` writes one
object for each sample: prompt, text (after the prompt), tokens, log_prob (of these tokens), unknown_words (of the
prompt).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from shared.bounds import Bounds, CountOrZero, Seed, check_product
from shared.cli import ModelOptions, OutputOptions, Results, RuntimeOptions, command, parse, say_loading
from shared.descriptors import make_regular
from shared.errors import UserError
from shared.outputs import check_outputs
from shared.text import check_readable, read_lines
from tasks.language_model.config import Form, MinP, Temperature, TopK, TopP, find_run

if TYPE_CHECKING:
    from tasks.language_model.inference import Sampling, TextGenerator

MAX_TOKENS = 10_000_000  # of all continuations together


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    prompt: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Text to continue, nothing by default; may be repeated, each prompt is continued on its own."""
    file: str | None = None
    """Continue the lines of a file, each on its own; - is standard input."""
    form: Form = "auto"
    """Form of prompts: ordinary `text`, or `tokens` of the model's corpus; recognised by default."""
    max_tokens: CountOrZero = 50
    """Maximum number of tokens to sample."""
    samples: Annotated[int, Bounds(1, 1000)] = 1
    """Number of continuations."""
    temperature: Temperature = 1.0
    """Divides the logits; 0.01 is almost greedy."""
    top_k: TopK = 0
    """Sample among this number of most probable tokens; 0: among all."""
    top_p: TopP = 1.0
    """Sample among the most probable tokens whose total probability reaches this value."""
    min_p: MinP = 0.0
    """Sample among tokens with at least this fraction of the highest probability."""
    seed: Seed = 0
    """Equal seeds give equal results."""
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Stop before this text or these tokens, such as " ."; may be given several times; a line break is $'\\n' in most
    shells."""
    load_state: Path | None = None
    """Start from a saved state."""
    save_state: Path | None = None
    """Save the state after the prompt."""


def check(options: Arguments) -> "Sampling":
    """Raises UserError for invalid options; returns how to sample."""
    from tasks.language_model.inference import Sampling

    sizes = ("--samples", options.samples), ("--max-tokens", options.max_tokens)
    check_product("tokens", MAX_TOKENS, *sizes)
    if options.prompt and options.file:
        raise UserError("--prompt and --file: one of the two was expected")
    if options.file:
        check_readable(options.file)
    if options.save_state and (options.file or len(options.prompt) > 1):
        raise UserError("--save-state: one --prompt was expected with it")
    if options.load_state:
        make_regular(options.load_state)
    if options.load_state and not options.load_state.is_file():
        raise UserError(f"--load-state {options.load_state}: no such file")
    if "" in options.stop:
        raise UserError("--stop '': a text was expected")
    return Sampling(options.temperature, options.top_k, options.top_p, options.min_p)


def write_as_sampled(generator: "TextGenerator", prompt: str, options: Arguments, sampling: "Sampling") -> None:
    """Writes one continuation to standard output token by token; needs constant memory."""
    generator.read(prompt)
    print(prompt, end="", flush=True)
    token_ids = (int(ids[0]) for ids, _ in generator.draw(options.max_tokens, 1, sampling, options.seed))
    for text in generator.spell(token_ids):
        print(text, end="", flush=True)
    print()


def write_continuations(generator: "TextGenerator", options: Arguments, sampling: "Sampling") -> None:
    """Writes all continuations of each prompt when it arrives."""
    prompts = read_lines(options.file) if options.file else options.prompt or ("",)
    draws = options.max_tokens, options.samples, sampling, options.seed, options.stop
    is_done = False
    with Results(options.json, options.output) as results:
        for prompt in prompts:
            is_done = True
            for found in generator(prompt, *draws):
                record = {"prompt": prompt, "text": found.text, "tokens": found.tokens}
                record |= {"log_prob": round(found.log_prob, 4), "unknown_words": generator.unknown_words(prompt)}
                results.write(record, prompt + found.text)
    if not is_done:
        raise UserError(f"{options.file}: no lines to continue")


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.generate", __doc__)
    sampling = check(options)
    runtime = options.runtime_for({"--load-state": options.load_state, "--save-state": options.save_state})
    run = find_run(options.model)
    check_outputs(
        {"--output": [options.output], "--save-state": [options.save_state]},
        {
            "the file that --file names": [options.file],
            "the file that --load-state names": [options.load_state],
            "a file of the model": [run.path],
        },
    )
    from tasks.language_model.inference import TextGenerator

    say_loading("language model")
    generator = TextGenerator.load(str(run.path), options.form, runtime)
    if options.load_state:
        generator.restore(options.load_state)
    if options.save_state:
        before = generator.position
        generator.read("".join(options.prompt))
        generator.save(options.save_state)
        generator.position = before
    if not options.max_tokens:
        return
    is_one = len(options.prompt) <= 1 and not options.file and options.samples == 1
    if is_one and not (options.json or options.output or options.stop):
        write_as_sampled(generator, "".join(options.prompt), options, sampling)
    else:
        write_continuations(generator, options, sampling)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
