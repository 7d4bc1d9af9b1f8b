"""Fuzz one target with atheris, uncompiled, so that its coverage is seen; or write the seeds into the corpus."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

INPUT_BYTES_MAX = 4096
SLOW_S = 10  # for one input


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="its name, or `all` one after the other")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", default="", help="folder for new inputs; default: a new one in /tmp")
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer's choices; 0: another each time")
    parser.add_argument("--write-seeds", action="store_true", help="write the seeds into the corpus, and do no more")
    options = parser.parse_args()
    if options.target == "all":
        names = target_names()
        seconds = str(options.seconds)
        statuses = [
            subprocess.run([sys.executable, "-m", "tests.fuzz", name, "--seconds", seconds], check=False).returncode
            for name in names
        ]
        sys.exit(max(statuses))
    os.environ["CROSSWIRE_NO_JIT"] = "1"
    if options.write_seeds:
        write_seeds(options.target)
    else:
        fuzz(options.target, options.seconds, options.found, options.seed)


def target_names() -> list[str]:
    """The targets' names: their folders'."""
    from tests.fuzz.target import CORPUS

    return sorted(path.name for path in CORPUS.iterdir())


def write_seeds(name: str) -> None:
    """Write what the target's seeds are, each under its digest."""
    import hashlib

    from tests.fuzz.targets import TARGETS

    for target in TARGETS.values() if name == "every" else [TARGETS[name]]:
        target.corpus.mkdir(parents=True, exist_ok=True)
        for data in target.seeds():
            (target.corpus / f"seed-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


def fuzz(name: str, seconds: int, found: str, seed: int) -> None:
    """Run libFuzzer over one target until the time is over, or an input breaks a rule."""
    try:
        import atheris
    except ImportError:
        sys.exit("tests.fuzz: atheris is not installed; `make fuzz`, or pip install -r requirements-fuzz.lock")
    import tempfile

    with atheris.instrument_imports(include=["crosswire"]):
        from tests.fuzz.targets import TARGETS
    if name not in TARGETS:
        sys.exit(f"tests.fuzz: no target {name}; there are {', '.join(TARGETS)}")
    target = TARGETS[name]
    folder = found or tempfile.mkdtemp(prefix=f"fuzz-{name}-")
    Path(folder).mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    print(f"{name}: new inputs go to {folder}", flush=True)
    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={SLOW_S}",
        f"-seed={seed}",
        f"-artifact_prefix={folder}/found-",
        "-print_final_stats=1",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], *arguments, folder, str(target.corpus)], target.run)
    atheris.Fuzz()
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
