"""A live run's structs as others find them: what lies where in its shared memory, and the mailbox beside it."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from crosswire.engine.build.run import Run
from crosswire.engine.control.mailbox import MAILBOX_BYTES, MAILBOX_MAGIC, Mailbox
from crosswire.engine.state import Engine
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import map_memory, unmap_memory
from crosswire.nic.memory.arena import Arena, SharedFile, remove_left
from crosswire.nic.memory.raw import store_i64_release
from crosswire.nic.memory.struct import Array, Scalar, Struct, address_of, i64, u8, view
from crosswire.venues.order import VENUES_MAX

HEADER_MAGIC = 0x4352_4F53_5357_5348  # "CROSSWSH"
ROOTS_MAX = 3 * VENUES_MAX
CLASS_BYTES = 256
PATH_BYTES = 1024
NAME_BYTES = 64
DIGEST_BYTES = 32
MEMORY_LINK = "memory"  # in a run's folder, while it is traded
MAILBOX_LINK = "mailbox"


class Root(Struct):
    """One struct of a venue: which, where, of what class."""

    venue: i64
    address: i64
    cls: Annotated[Array, u8, CLASS_BYTES]  # "module:name"


class Header(Struct):
    """What the memory begins with; `magic` is written last."""

    magic: Annotated[Array, i64, 1]
    address: i64  # of this header, and where a reader is to map it
    engine: i64  # address
    process: i64
    digest: Annotated[Array, u8, DIGEST_BYTES]  # `layout_digest` of all classes
    name: Annotated[Array, u8, NAME_BYTES]
    folder: Annotated[Array, u8, PATH_BYTES]
    root_count: i64
    roots: Annotated[Array, Root, ROOTS_MAX]


class MailboxFile(Owner):
    """The mailbox of a run, in a file of its own: the one page that another process may write."""

    def __init__(self) -> None:
        """Make it. HostError."""
        self._address = 0
        self.shared = SharedFile()
        try:
            self.shared.grow(MAILBOX_BYTES)
            self._address = map_memory(MAILBOX_BYTES, fd=self.shared.file, shared=True)
        except BaseException:
            self.close()
            raise
        self.mailbox = view(Mailbox, self._address)
        self.mailbox.magic = MAILBOX_MAGIC

    @property
    def address(self) -> int:
        """Where it is mapped."""
        return self._address

    def close(self) -> None:
        """Remove the file. The page stays: a loop may still look at it."""
        self.shared.close()

    def __del__(self) -> None:
        if self._address:
            unmap_memory(self._address, MAILBOX_BYTES)


class SharedRun:
    """Memory and mailbox of a live run that others may look at and command."""

    def __init__(self, closing: ExitStack) -> None:
        """Make both, and remove what killed runs have left; `closing` removes them. HostError."""
        remove_left()
        self.arena = closing.enter_context(Arena())
        self.mailbox = closing.enter_context(MailboxFile())
        with self.arena.allocating():
            self.header = Header()
        assert address_of(self.header) == self.arena.address

    def publish(self, run: Run, market_rings: Sequence[Struct], folder: Path) -> None:
        """Let others find it by links in the run's folder. `market_rings`: those of the venues' market data."""
        header, engine, config = self.header, run.engine, run.config
        parts = zip(run.parts, market_rings, strict=True)
        roots = [(part.session.venue, each) for part, ring in parts for each in (part.feed, part.session, ring)]
        shared = [(venue, each) for venue, each in roots if self.has(each)]
        assert len(shared) <= ROOTS_MAX
        self.arena.use_large_pages()
        header.address, header.engine, header.process = self.arena.address, address_of(engine), os.getpid()
        put_bytes(header.name, config.name.encode())
        put_bytes(header.folder, os.fsencode(folder.absolute()))
        for place, (venue, struct) in enumerate(shared):
            root = header.roots[place]
            root.venue, root.address = venue, address_of(struct)
            put_bytes(root.cls, class_name(type(struct)).encode())
        header.root_count = len(shared)
        put_bytes(header.digest, layout_digest(type(struct) for _, struct in shared))
        engine.control.mailbox = self.mailbox.address
        store_i64_release(address_of(header.magic), HEADER_MAGIC)
        self.mailbox.shared.publish(folder / MAILBOX_LINK)
        self.arena.publish(folder / MEMORY_LINK)

    def has(self, struct: Struct) -> bool:
        """Tell whether a struct lies in the shared memory: what holds a secret does not."""
        return 0 <= address_of(struct) - self.arena.address < self.arena.mapped_bytes


def class_name(cls: type) -> str:
    """Name a class so that a reader finds it."""
    return f"{cls.__module__}:{cls.__qualname__}"


def put_bytes(field: Array, data: bytes) -> None:
    """Fill a field up with zeros. ValueError: it has no room."""
    if len(data) > len(field):
        raise ValueError(f"{len(data)} bytes where {len(field)} fit")
    field.numpy()[:] = list(data.ljust(len(field), b"\0"))


def text_in(field: Array) -> str:
    """Read what `put_bytes` has written as text."""
    return os.fsdecode(bytes(field).rstrip(b"\0"))


def layout_digest(roots: Iterable[type[Struct]]) -> bytes:
    """Digest the layout of the engine, the mailbox and `roots`, of all that they contain, and this release."""
    seen: dict[str, list[Any]] = {}
    waiting: list[type[Struct]] = [Header, Engine, Mailbox, *roots]
    while waiting:
        cls = waiting.pop()
        if class_name(cls) in seen:
            continue
        seen[class_name(cls)] = [cls.size, cls.byte_order]
        for name, field in cls.fields.items():
            element = field.element
            kind = element.name if isinstance(element, Scalar) else class_name(element)
            seen[class_name(cls)].append((name, field.offset, field.count, field.is_pointer, field.is_reference, kind))
            if not isinstance(element, Scalar):
                waiting.append(element)
    return hashlib.sha256(repr((version("crosswire"), sorted(seen.items()))).encode()).digest()
