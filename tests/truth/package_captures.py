"""Test captures of Debian's source packages, fetched on demand: what other people's tools are tested with.

    python -m tests.truth.package_captures fetch      gets the packages and takes their captures out
    python -m tests.truth.package_captures compare    prints how they agree with capinfos, as docs/evidence.md has it

They are many authors' and stay out of the repository: in `captures_folder()`, a folder a package, which appears there
only when it is complete. Nothing of a package is run or unpacked but its captures, each under a name made of its path.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.yardstick import cache_folder, made_once
from tests.truth.capture_figures import Judgement, judge

CAPTURE_SUFFIXES = (".pcap", ".pcapng", ".cap")
GZIP_MAGIC = b"\x1f\x8b"
CAPTURE_MAGICS = {  # pcap, with nanoseconds, modified, in either byte order; pcapng
    *(bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")),
    bytes.fromhex("0a0d0d0a"),
}


class Package(NamedTuple):
    name: str
    version: str
    archive: str
    sha256: str


PACKAGES = (
    Package(
        "tcpdump",
        "4.99.3-1",
        "tcpdump_4.99.3.orig.tar.gz",
        "ad75a6ed3dc0d9732945b2e5483cb41dc8b4b528a169315e499c6861952e73b3",
    ),
    Package(
        "wireshark",
        "4.0.17-0+deb12u3",
        "wireshark_4.0.17.orig.tar.bz2",
        "62fd1491b6211d1651a16a45ead15808970b3a6a9ebde2537f96722af47aaaa5",
    ),
    Package(
        "libpcap",
        "1.10.3-1",
        "libpcap_1.10.3.orig.tar.gz",
        "2a8885c403516cf7b0933ed4b14d6caa30e02052489ebd414dc75ac52e7559e6",
    ),
    Package(
        "tcpflow",
        "1.6.1-2",
        "tcpflow_1.6.1.orig.tar.gz",
        "c1c88513473e12011c0c00bba88dd02013ea3b813b08088f250cbf82b8f42358",
    ),
    Package(
        "dnscap",
        "2.1.1-1",
        "dnscap_2.1.1.orig.tar.xz",
        "808040a5388c8b3281e905cba3ec4a17d6451ac1aa369b58e06da4e2c65a8acd",
    ),
    Package(
        "python-dpkt",
        "1.9.8-1",
        "python-dpkt_1.9.8.orig.tar.gz",
        "9990639e19a9c8f1db4af453b7e6a45ef2995ec03e13bac35b9824839fd46867",
    ),
)


def captures_folder(package: Package) -> Path:
    """Where the captures of a package are, once they are fetched."""
    return cache_folder() / "package-captures" / f"{package.name}-{package.version}"


def captures_of(package: Package) -> list[Path]:
    """List the captures of a package that was fetched."""
    return sorted(captures_folder(package).iterdir())


def source_lists(folder: Path) -> list[str]:
    """Make apt's options for the sources of the releases that this host gets its packages from."""
    form = "deb-src $(SITE) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (folder / "sources.list").write_text(listed)
    (folder / "lists" / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "APT::Sandbox::User": "root",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def download(package: Package, folder: Path, options: list[str]) -> Path:
    """Have apt download a source package into `folder`; the archive, whose digest is right. SystemExit if it is not."""
    wanted = f"{package.name}={package.version}"
    command = ["apt-get", *options, "source", "--quiet", "--download-only", "--tar-only", wanted]
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)
    archive = folder / package.archive
    if not archive.exists():
        sys.exit(f"package_captures: apt-get found no {package.archive} of {wanted}: the mirror may have moved on")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != package.sha256:
        sys.exit(f"package_captures: {package.archive}: its SHA-256 is {digest}, not {package.sha256}")
    return archive


def is_capture(name: str, content: bytes) -> bool:
    """Tell whether a file is a capture by its first bytes, or says so by its name."""
    start = content[:4]
    if content.startswith(GZIP_MAGIC):
        name = name.removesuffix(".gz")
        try:
            start = gzip.decompress(content)[:4]
        except (OSError, EOFError):
            start = b""
    return start in CAPTURE_MAGICS or name.endswith(CAPTURE_SUFFIXES)


def captures_in(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Read the captures in an archive, each with its path below the archive's own folder."""
    with tarfile.open(archive) as members:
        for member in members:
            file = members.extractfile(member) if member.isfile() else None
            if file is not None and is_capture(member.name, content := file.read()):
                yield member.name.partition("/")[2], content


def take_out(archive: Path) -> Callable[[Path], None]:
    """Make a function that writes the captures of an archive into a folder."""

    def write(folder: Path) -> None:
        for name, content in captures_in(archive):
            (folder / name.replace("/", "__")).write_bytes(content)

    return write


def fetch() -> None:
    """Get the packages that are not there yet."""
    missing = [package for package in PACKAGES if not captures_folder(package).is_dir()]
    if missing and not shutil.which("apt-get"):
        sys.exit("package_captures: needs apt-get, and a mirror of Debian's source packages")
    with tempfile.TemporaryDirectory() as name:
        if missing:
            options = source_lists(Path(name))
            subprocess.run(["apt-get", *options, "update", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        for package in missing:
            made_once(captures_folder(package), take_out(download(package, Path(name), options)))
    for package in PACKAGES:
        print(f"{package.name} {package.version}: {len(captures_of(package))} captures in {captures_folder(package)}")


def compare() -> None:
    """Print a row for each package, and why captures differ."""
    judged = {package.name: judge(captures_of(package)) for package in PACKAGES if captures_folder(package).is_dir()}
    print("| captures of | " + " | ".join(Judgement) + " | all |")
    print("|---|" + "--:|" * (len(Judgement) + 1))
    for package in PACKAGES:
        if package.name in judged:
            counts = Counter(each.judgement for each in judged[package.name].values())
            cells = [str(counts[judgement]) for judgement in Judgement]
            print(f"| {package.name} {package.version} | {' | '.join(cells)} | {counts.total()} |")
    reasons = Counter(
        (each.judgement, each.reason) for told in judged.values() for each in told.values() if each.reason
    )
    for (judgement, reason), count in sorted(reasons.items()):
        print(f"{count} {judgement}: {reason}")


if __name__ == "__main__":
    commands = {"fetch": fetch, "compare": compare}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: python -m tests.truth.package_captures {{{','.join(commands)}}}")
    commands[sys.argv[1]]()
