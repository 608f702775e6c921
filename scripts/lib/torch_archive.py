"""Reads what torch.save and TorchScript write, without PyTorch and without running or importing anything.

A checkpoint is a zip of raw storages and one pickle. The pickle is interpreted here, opcode by opcode: a global
is a name and never the thing it names, and only the constructors of tensors mean something.
"""
import dataclasses
import math
import pickletools
import zipfile

import numpy as np

MAX_PICKLE_BYTES = 256 << 20
MAX_STACK = 1 << 20
MAX_MEMO = 1 << 22
MAX_NAMES = 1 << 17
MAX_NESTING = 64
MAX_DIMENSIONS = 8
MAX_TENSOR_BYTES = 32 << 30

# Storage kinds: numpy type as stored. bfloat16 has none, so its bits are widened by hand.
KINDS = {"Float": "<f4", "Half": "<f2", "BFloat16": "<u2", "Double": "<f8", "Long": "<i8", "Int": "<i4",
         "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "u1"}


class ArchiveError(Exception):
    """What is wrong with the file, for its owner to read."""


@dataclasses.dataclass(frozen=True)
class Global:
    module: str
    name: str


class Opaque:
    """An object of a class that has no meaning here."""

    def __init__(self, kind):
        self.kind = kind
        self.state = None


@dataclasses.dataclass(frozen=True)
class Storage:
    kind: str
    key: str
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view into a storage; two that are equal are the same numbers."""
    storage: Storage
    offset: int
    shape: tuple
    stride: tuple


class Unpickler:
    """Interprets one pickle; `load` gives dictionaries, lists, tuples, scalars, Tensor, Global and Opaque."""

    MARK = object()
    CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
    ARGUMENTS = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BINUNICODE",
                 "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
                 "BINBYTES8"}
    EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
    TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

    def __init__(self, data):
        self.data = data
        self.stack = []
        self.memo = {}

    def load(self):
        try:
            for opcode, argument, _ in pickletools.genops(self.data):
                if opcode.name == "STOP":
                    return self.stack.pop()
                self.step(opcode.name, argument)
                if len(self.stack) > MAX_STACK or len(self.memo) > MAX_MEMO:
                    raise ArchiveError("the pickle is too deep or too large")
        except (ValueError, IndexError, KeyError, TypeError, UnicodeError, AttributeError) as error:
            raise ArchiveError(f"the pickle is damaged: {error}") from None
        raise ArchiveError("the pickle has no end")

    def step(self, name, argument):
        stack = self.stack
        if name in self.ARGUMENTS:
            stack.append(argument)
        elif name in self.CONSTANTS:
            stack.append(self.CONSTANTS[name])
        elif name in self.EMPTY:
            stack.append(self.EMPTY[name]())
        elif name in self.TUPLES:
            count = self.TUPLES[name]
            items = tuple(stack[-count:])
            if len(items) < count:
                raise ValueError("the stack is empty")
            del stack[-count:]
            stack.append(items)
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(self.MARK)
        else:
            handler = getattr(self, "do_" + name.lower(), None)
            if handler is None:
                raise ArchiveError(f"the pickle uses {name}, which no checkpoint needs")
            handler(argument)

    def since_mark(self):
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is self.MARK:
                items = self.stack[at + 1:]
                del self.stack[at:]
                return items
        raise ValueError("no mark")

    def do_pop(self, _):
        self.stack.pop()

    def do_pop_mark(self, _):
        self.since_mark()

    def do_dup(self, _):
        self.stack.append(self.stack[-1])

    def do_tuple(self, _):
        self.stack.append(tuple(self.since_mark()))

    def do_list(self, _):
        self.stack.append(self.since_mark())

    def do_dict(self, _):
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    do_frozenset = do_list

    def do_append(self, _):
        self.add_items([self.stack.pop()])

    def do_appends(self, _):
        self.add_items(self.since_mark())

    do_additems = do_appends

    def add_items(self, items):
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def do_setitem(self, _):
        value = self.stack.pop()
        self.set_items([self.stack.pop(), value])

    def do_setitems(self, _):
        self.set_items(self.since_mark())

    def set_items(self, items):
        if isinstance(self.stack[-1], dict):
            for key, value in zip(items[::2], items[1::2]):
                # Tensors are only ever under names; other keys would have to be hashed, at any depth.
                if isinstance(key, (str, int)):
                    self.stack[-1][key] = value

    def do_global(self, argument):
        module, name = argument.split(" ", 1)
        self.stack.append(Global(module, name))

    def do_stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global without a name")
        self.stack.append(Global(module, name))

    def do_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(call(function, arguments))

    def do_newobj(self, _):
        _, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(Opaque(kind))

    def do_newobj_ex(self, _):
        self.stack.pop()
        self.do_newobj(None)

    def do_build(self, _):
        state = self.stack.pop()
        if isinstance(self.stack[-1], Opaque):
            self.stack[-1].state = state

    def do_binpersid(self, _):
        identity = self.stack.pop()
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise ArchiveError("the pickle refers to something that is not a storage")
        _, kind, key, _, count = identity
        name = kind.name if isinstance(kind, Global) else ""
        short = name.removesuffix("Storage")
        if short not in KINDS or not isinstance(key, str) or not is_count(count):
            raise ArchiveError(f"a storage of kind {name!r} is not supported")
        self.stack.append(Storage(short, key, count))


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def call(function, arguments):
    """The constructors that mean something; every other call gives an opaque object."""
    if isinstance(function, Global) and isinstance(arguments, tuple):
        name = (function.module, function.name)
        if name == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor(*arguments[:4])
        if name == ("torch._utils", "_rebuild_parameter") and arguments:
            return arguments[0]
        if name == ("collections", "OrderedDict"):
            pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
            return {pair[0]: pair[1] for pair in pairs
                    if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)}
    return Opaque(function)


def rebuild_tensor(storage, offset, shape, stride):
    whole = (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)
             and len(shape) == len(stride) <= MAX_DIMENSIONS and all(map(is_count, (offset, *shape, *stride))))
    if not whole:
        raise ArchiveError("a tensor's storage, offset, shape or stride is not one")
    if 0 not in shape:
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride))
        if last >= storage.count:
            raise ArchiveError(f"a tensor reaches beyond its storage {storage.key}")
    return Tensor(storage, offset, shape, stride)


class Archive:
    """An open checkpoint: `root` is what its pickle holds, `read` gives a tensor's numbers."""

    def __init__(self, path):
        try:
            self.zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ArchiveError(f"{path}: not a checkpoint of PyTorch 1.6 or later: {error}") from None
        pickles = [name for name in self.zip.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ArchiveError(f"{path}: has {len(pickles)} data.pkl, not one")
        self.top = pickles[0].removesuffix("data.pkl")
        order = self.top + "byteorder"
        if order in self.zip.namelist() and self.entry(order, 16) != b"little":
            raise ArchiveError(f"{path}: is not little-endian")
        self.root = Unpickler(self.entry(pickles[0], MAX_PICKLE_BYTES)).load()
        self.storages = {}
        self.bytes_read = 0

    def entry(self, name, limit):
        try:
            info = self.zip.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
                raise ArchiveError(f"{name}: is packed, or larger than {limit} bytes")
            return self.zip.read(info)
        except (KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ArchiveError(f"{name}: cannot be read: {error}") from None

    def read(self, tensor):
        """The numbers: floating point widened to float32, whole numbers as int64."""
        storage = tensor.storage
        if storage.key not in self.storages:
            self.storages[storage.key] = self.entry(f"{self.top}data/{storage.key}", MAX_TENSOR_BYTES)
        values = np.frombuffer(self.storages[storage.key], dtype=KINDS[storage.kind])
        if values.size < storage.count:
            raise ArchiveError(f"storage {storage.key} has {values.size} elements, not {storage.count}")
        self.bytes_read += 4 * math.prod(tensor.shape)
        if self.bytes_read > MAX_TENSOR_BYTES:
            raise ArchiveError("the tensors are too large")
        if 0 in tensor.shape:
            view = np.zeros(tensor.shape, values.dtype)
        else:
            strides = tuple(step * values.itemsize for step in tensor.stride)
            view = np.lib.stride_tricks.as_strided(values[tensor.offset:], tensor.shape, strides, writeable=False)
        if storage.kind == "BFloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(np.float32 if view.dtype.kind == "f" else np.int64)


def named_tensors(root):
    """All tensors of a state dict or of nested script objects, by their path joined with dots."""
    found = {}

    def visit(prefix, value, depth):
        if depth > MAX_NESTING or len(found) > MAX_NAMES:
            raise ArchiveError("the objects are nested too deep or hold too many tensors")
        if isinstance(value, Tensor):
            found[prefix] = value
            return
        members = value.state if isinstance(value, Opaque) else value
        if isinstance(members, dict):
            for key, member in members.items():
                if isinstance(member, (Tensor, Opaque, dict)):
                    visit(f"{prefix}.{key}" if prefix else str(key), member, depth + 1)

    visit("", root, 0)
    return found
