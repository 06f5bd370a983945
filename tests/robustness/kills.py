"""Kills: a killed and resumed command leaves what an uninterrupted one leaves, and nothing is lost on the way.

    python -m tests.robustness.kills --count 100 --seed 1
    python -m tests.robustness.kills --seed 1 --case "translator export:9"    # one command again; its files are kept

A command is a training that prepares its corpus (cold) or finds it prepared (warm), an export or a release. SIGKILL
comes before the N-th event of the file system that the process causes, N drawn below the number of events of an
uninterrupted one, or at a random time. The same command is then run again, and killed again, and at last left to end.
Every step of a training is a checkpoint, so that there are many to be killed in. Exit code 1 if a case fails.
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.robustness import tiny
from tests.robustness.report import Report, add_options, as_command
from tests.robustness.sandbox import guard, sandbox, written_paths
from tests.robustness.workers import Outcome, preload

SAME, LOST, LEFT = "resumed, nothing lost", "something lost", "temporary files left"
DIFFERENT, FAILED = "other bits", "not resumed"
KILLS = {"training": 4, "export": 2, "release": 2}  # of one command before it is left to end
SECONDS = 300  # after which an uninterrupted command is ended as hanging
COMMANDS = ("cold training", "warm training", "export", "release")
TIMED = 0.2  # fraction of the kills that come at a random time
PHASES = (  # of a kill, by the path that was about to be written
    (r"/prepared/", "preparation"), (r"/checkpoints-2/", "reward checkpoint"), (r"/checkpoints/", "checkpoint"),
    (r"/export/", "export"), (r"encoder\.", "encoder"), (r"/plots/|metrics|README", "evaluation and card"),
)  # fmt: skip


class Chain(NamedTuple):
    """A command of a task, killed several times and resumed."""

    task: str
    command: str
    index: int


def chains(tasks: Sequence[str], most: int = 4) -> Iterator[tuple[Chain, int]]:
    """Chains of commands without end, and the number of kills of each, at most `most`."""
    for index in itertools.count():
        task, command = tasks[index % len(tasks)], COMMANDS[index // len(tasks) % len(COMMANDS)]
        yield Chain(task, command, index), min(most, KILLS[command.split()[-1]])


def execute(chain: Chain, own: Path, saved_models: Path, prepared: Path, kill_at: int | None, trace: Path) -> None:
    """Runs a command in this process, which is killed before event `kill_at`; writes the path of each event to `trace`.

    Called in a forked process.
    """
    import shared.runs
    import shared.training

    os.environ["QUATRAIN_PREPARED"] = str(prepared)
    shared.runs.ROOT = saved_models
    shared.training.CHECKPOINT_SECONDS = 0
    guard(own)
    log, events, lock = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 0, threading.Lock()

    def hook(event: str, arguments: tuple) -> None:
        nonlocal events
        for path in written_paths(event, arguments):
            if path.startswith((str(saved_models), str(prepared))):
                with lock:
                    os.write(log, f"{event} {path}\n".encode())
                    if events == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    events += 1

    sys.addaudithook(hook)
    if "training" in chain.command:
        tiny.train(chain.task)
    elif chain.command == "export":
        tiny.renew_random_states()
        import_module(f"tasks.{chain.task}.export").export(tiny.RUN)
    else:
        tiny.renew_random_states()
        import_module("tasks.release").release(chain.task, tiny.RUN)


def run_command(chain: Chain, own: Path, folder: Path, kill_at: int | None = None, seconds: float = SECONDS) -> int:
    """Runs `execute` in a forked process, which is killed after `seconds` at the latest; returns its exit code."""
    saved_models, prepared = folder / "saved_models", folder / "prepared"
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            tiny.quietly(
                lambda: execute(chain, own, saved_models, prepared, kill_at, folder / "events"), str(folder / "log")
            )
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    began = time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > seconds:
            os.kill(child, signal.SIGKILL)
            seconds = SECONDS  # once
        time.sleep(0.02)


def contents(folder: Path) -> dict[str, str]:
    """A hash of each file of a run; of those that differ between equal runs, without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name in (".training", "README.md", "model.keras") or path.suffix == ".png":
            continue
        content = path.read_bytes()
        if path.name == "history.csv":
            content = re.sub(rb",[\d.]+$", b"", content, flags=re.M)  # minutes, the last column
        if path.name == "state.json":  # its seconds are measured
            continue
        if path.name == "metrics.json":
            metrics = json.loads(content)
            content = json.dumps({split: _without_times(values) for split, values in metrics.items()}).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _without_times(values: dict) -> dict:
    return {name: value for name, value in values.items() if not re.search("second|minute|speed|time", name)}


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that a finished command has left."""
    names = [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name not in (".training", ".lock")]
    return names + [str(path.relative_to(folder)) for path in folder.rglob("*incomplete*")]


def lost(chain: Chain, before: dict[str, str], folder: Path) -> str:
    """What a killed export or release has taken from the run; "" if all is there, as it was or released."""
    run = folder / "saved_models" / chain.task / tiny.RUN
    if not run.is_dir():
        return "the run is gone"
    after = contents(run)
    if chain.command == "export":
        partial = [path.name for path in (run / "export").glob("[0-9]*") if not _is_complete(path)]
        gone = [name for name, value in before.items() if after.get(name) != value]
        return f"partial version {partial[0]}" if partial else f"{gone[0]} changed" if gone else ""
    config = json.loads((run / "config.json").read_text())
    if any(name.endswith("_sha256") for name in config):
        for path in run.glob("*.safetensors"):
            if config.get(f"{path.stem}_sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
                return f"{path.name} is not of the hash that is recorded"
        return ""
    gone = [name for name, value in before.items() if after.get(name) != value]
    return f"{gone[0]} changed" if gone else ""


def _is_complete(version: Path) -> bool:
    parts = ("saved_model.pb", "variables/variables.index", "assets.extra/tf_serving_warmup_requests")
    return all((version / part).is_file() for part in parts)


def is_released(chain: Chain, folder: Path) -> bool:
    """Whether a killed release has reached its end."""
    config = folder / "saved_models" / chain.task / tiny.RUN / "config.json"
    return chain.command == "release" and "weights_sha256" in config.read_text()


class Kills:
    """The kills of a campaign in its folder, and their outcomes."""

    def __init__(self, own: Path, seed: int):
        self.own, self.seed = own, seed
        self.events: dict[tuple[str, str], list[str]] = {}  # of each uninterrupted command, in order
        self.seconds: dict[tuple[str, str], float] = {}
        self.results: dict[tuple[str, str], dict[str, str]] = {}

    def reference(self, task: str, command: str) -> Path:
        """The folder in which a command of a task ran uninterrupted, made at the first call."""
        folder = self.own / "references" / task / command.replace(" ", "-")
        if (task, command) in self.results:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        if command == "cold training":
            folder.mkdir(parents=True)
        else:
            shutil.copytree(self.reference(task, "cold training"), folder)
            if command == "warm training":
                shutil.rmtree(folder / "saved_models")
        began = time.monotonic()
        code = run_command(Chain(task, command, 0), self.own, folder)
        if code:
            raise RuntimeError(f"{task}, {command}: an uninterrupted command ends with {code}; see {folder / 'log'}")
        self.seconds[task, command] = time.monotonic() - began
        self.events[task, command] = (folder / "events").read_text().splitlines()
        self.results[task, command] = contents(folder / "saved_models" / task / tiny.RUN)
        return folder

    def run(self, chain: Chain, kills: int, record: Callable[[Outcome, str], None]) -> int:
        """Kills and resumes one command; records an outcome for each kill with its phase, and returns their number."""
        task, command, index = chain
        rng, folder = np.random.default_rng([self.seed, index]), self.own / "chains" / str(index)
        self.reference(task, command)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if command != "cold training":
            shutil.copytree(self.reference(task, "cold training") / "prepared", folder / "prepared")
        before: dict[str, str] = {}
        if "training" not in command:
            shutil.copytree(self.reference(task, "cold training") / "saved_models", folder / "saved_models")
            if command == "export" and run_command(chain, self.own, folder):  # an earlier version, to be kept
                raise RuntimeError(f"{chain}: cannot be exported; see {folder / 'log'}")
            before = contents(folder / "saved_models" / task / tiny.RUN)
        killed: list[tuple[str, str]] = []  # phase and event
        fault = ""
        for _ in range(kills):
            events = self.events[task, command]
            at, seconds = int(rng.integers(len(events))), float(SECONDS)
            if rng.random() < TIMED:
                at, seconds = -1, float(rng.random()) * self.seconds[task, command]
            if killed and "training" in command:  # a resumed command has fewer events left
                at = int(at * rng.random())
            code = run_command(chain, self.own, folder, at, seconds)
            if code == 0 or (code != -signal.SIGKILL and is_released(chain, folder)):
                break  # it ended before the kill
            last = (folder / "events").read_text().splitlines()[-1:] or ["start"]
            phase = next((name for pattern, name in PHASES if re.search(pattern, last[0])), command.split()[-1])
            killed.append((phase, last[0].replace(str(folder), "")))
            if code != -signal.SIGKILL:
                fault = f"ends with {code} after {killed}: {self._last_line(folder)}"
                break
            if before and (fault := lost(chain, before, folder)):
                break
        verdict, detail = (LOST if "training" not in command else FAILED, fault) if fault else self._end(chain, folder)
        words = "; ".join(f"{phase}: {event}" for phase, event in killed)
        for phase, event in killed:
            record(Outcome((f"{task} {command}", index), verdict, detail, words or event), phase)
        if verdict == SAME:
            shutil.rmtree(folder)
        return len(killed)

    def _end(self, chain: Chain, folder: Path) -> tuple[str, str]:
        """Runs the command to its end, and compares what it leaves with what an uninterrupted one leaves."""
        run = folder / "saved_models" / chain.task / tiny.RUN
        was_released = is_released(chain, folder)
        if (code := run_command(chain, self.own, folder)) and not was_released:
            return FAILED, f"ends with {code}: {self._last_line(folder)}"
        if left := leftovers(folder / "saved_models") + leftovers(folder / "prepared"):
            return LEFT, left[0]
        expected, received = self.results[chain.task, chain.command], contents(run)
        if "training" in chain.command:
            expected = self.results[chain.task, "cold training"]
        if chain.command == "export":  # versions have other numbers, and the files of TensorFlow other bits
            expected = {name: value for name, value in expected.items() if "export" not in name}
            received = {name: value for name, value in received.items() if "export" not in name}
        differing = sorted(
            name for name in expected.keys() | received.keys() if expected.get(name) != received.get(name)
            and "checkpoints" not in name
        )  # fmt: skip
        return (DIFFERENT, ", ".join(differing)) if differing else (SAME, "")

    @staticmethod
    def _last_line(folder: Path) -> str:
        return next(iter((folder / "log").read_text(errors="replace").splitlines()[-1:]), "")[:200]


def campaign(
    own: Path, count: int, seed: int, tasks: Sequence[str] = tiny.TASKS, most: int = 4, only: int | None = None
) -> Report:
    """Runs all kills in a folder of the campaign and prints the reports by command and by phase."""
    command = f"python -m tests.robustness.kills --seed {seed}"
    report, by_phase = (Report(name, command, harmless=[SAME]) for name in ("kills", "kills by phase"))
    kills = Kills(own, seed)

    def record(outcome: Outcome, phase: str) -> None:
        report.add(outcome)
        by_phase.add(outcome, phase)

    for chain, number in chains(tasks, most):
        if count <= 0 or (only is not None and chain.index > only):
            break
        if only not in (None, chain.index):
            continue
        began = time.monotonic()
        done = kills.run(chain, min(number, count), record)
        count -= done
        print(f"{chain.task}, {chain.command}: {done} kills in {time.monotonic() - began:.0f} s", flush=True)
    by_phase.faults.clear()  # they are those of the other report
    by_phase.print(columns=(SAME,))
    report.print(columns=(SAME,))
    return report


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.robustness.kills", description=__doc__)
    options = add_options(parser, count=100).parse_args(arguments)
    preload()
    tiny.shrink_corpora()
    with sandbox(options.folder, keep=bool(options.case)) as own:
        only = options.case[1] if options.case else None
        print(f"folder: {own}", flush=True)
        return campaign(own, options.count, options.seed, only=only).exit_code


if __name__ == "__main__":
    as_command(main)
