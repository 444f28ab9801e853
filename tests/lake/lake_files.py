"""Reads a lake as an outsider: the table log, the files it names, the objects that are there. Folder or S3."""
import ctypes
import gzip
import json
import pathlib
import zlib


class FolderStore:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def keys(self, prefix):
        base = self.root / prefix
        return sorted(str(path.relative_to(self.root)) for path in base.rglob("*")
                      if path.is_file() and ".tarn-tmp" not in path.parts)

    def get(self, key):
        return (self.root / key).read_bytes()


class BucketStore:
    def __init__(self, radosgw, bucket):
        self.s3, self.bucket = radosgw.s3, bucket

    def keys(self, prefix):
        return sorted(self.s3.keys(self.bucket, prefix + "/" if prefix else ""))

    def get(self, key):
        return self.s3.get(self.bucket, key)


def unzstd(body):
    """Frames one after the other, by the library that tarn uses."""
    lib = ctypes.CDLL("libzstd.so.1")
    for name in ("ZSTD_findFrameCompressedSize", "ZSTD_decompress"):
        getattr(lib, name).restype = ctypes.c_size_t
    lib.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    out = b""
    while body:
        frame = lib.ZSTD_findFrameCompressedSize(body, ctypes.c_size_t(len(body)))
        size = lib.ZSTD_getFrameContentSize(body, ctypes.c_size_t(frame))
        to = ctypes.create_string_buffer(size + 1)
        assert lib.ZSTD_decompress(to, ctypes.c_size_t(size), body, ctypes.c_size_t(frame)) == size, "not zstd"
        out, body = out + to.raw[:size], body[frame:]
    return out


def unpack(path, body):
    if path.endswith(".gz"):
        return gzip.decompress(body)
    if path.endswith(".zst"):
        return unzstd(body)
    return body


class Table:
    """A table by its log: files (add actions in order), ranges, entries."""

    def __init__(self, store, prefix):
        self.store, self.prefix = store, prefix
        self.files, self.errors, self.ranges, self.entries, self.metas = [], [], [], [], []
        keys = store.keys(prefix)
        at = len(prefix) + 1 if prefix else 0
        names = [key[at:] for key in keys]
        commits = sorted(name for name in names if name.startswith("_log/") and name.endswith(".commit"))
        self.data = [name for name in names if not name.startswith("_log/")]
        for number, name in enumerate(commits):
            assert name == f"_log/{number:020d}.commit", f"the log has a gap: {name} is entry {number}"
            for line in self.read(name).splitlines():
                action = json.loads(line)
                if "commit" in action:
                    self.entries.append(action["commit"])
                elif "add" in action:
                    self.files.append({**action["add"], "version": number})
                elif "errors" in action:
                    self.errors.append(action["errors"])
                elif "range" in action:
                    self.ranges.append(action["range"])
                elif "meta" in action:
                    self.metas.append(action["meta"])

    def read(self, name):
        return self.store.get(f"{self.prefix}/{name}" if self.prefix else name)

    def check(self):
        """Names once, bytes as logged, nothing there that no entry names, ranges without gap or overlap."""
        paths = [file["path"] for file in self.files + self.errors]
        assert len(paths) == len(set(paths)), "a name is in the log twice"
        assert sorted(paths) == self.data, f"objects and log differ: {set(paths) ^ set(self.data)}"
        for file in self.files + self.errors:
            body = self.read(file["path"])
            assert len(body) == file["size"], f"{file['path']}: size"
            assert f"{zlib.crc32(body):08x}" == file["crc32"], f"{file['path']}: checksum"
        ends = {}
        for span in self.ranges:
            key = span["partition"]
            assert span["first"] == ends.get(key, 0), f"partition {key}: gap at {span['first']}"
            ends[key] = span["next"]
        return ends

    def rows(self):
        for file in self.files:
            lines = unpack(file["path"], self.read(file["path"])).splitlines()
            assert len(lines) == file["rows"], f"{file['path']}: rows"
            for line in lines:
                yield file, json.loads(line)
