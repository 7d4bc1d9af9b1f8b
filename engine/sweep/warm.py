"""Have all machine code of a configuration on disk before its sets run side by side, so that nothing compiles twice."""

import json
import subprocess
import sys
from pathlib import Path

from crosswire.engine.build.definitions import check_definitions
from crosswire.engine.build.feed_funding import add_feed_funding
from crosswire.engine.build.run import build_run
from crosswire.engine.config import parse_config
from crosswire.engine.errors import KNOWN_ERRORS
from crosswire.engine.report.recorder import recorder_units
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.build import CompileError
from crosswire.nic.unit.listen import noted


def compile_all(config_text: str, config_path: Path) -> list[str]:
    """Load what a backtest loads, before its loop and behind it; return the names of what had to be compiled.

    KNOWN_ERRORS.
    """
    with noted() as compiled:
        config, _ = check_definitions(parse_config(config_text, config_path), config_path)
        run = build_run(config, config_path)
        try:
            run.core.linker.want(recorder_units())
            run.load()
            add_feed_funding(run.core.money, config, config_path, (0, NEVER_NS), None)
        finally:
            run.close()
    return sorted(compiled)


def compile_in_process(config_text: str, config_path: str) -> list[str]:
    """Do that in a process of its own: compilers are forked, and a worker has threads. CompileError: what failed."""
    command = [sys.executable, "-m", __name__, config_path]
    done = subprocess.run(command, input=config_text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError("sweep", (done.stderr.strip().splitlines() or ["the compiling process died"])[-1])
    names: list[str] = json.loads(done.stdout)
    return names


def main() -> None:
    """Compile the configuration on standard input, which is that of the named file; print what was compiled."""
    try:
        print(json.dumps(compile_all(sys.stdin.read(), Path(sys.argv[1]))))
    except KNOWN_ERRORS as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
