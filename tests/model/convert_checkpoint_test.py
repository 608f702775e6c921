#!/usr/bin/env python3
"""scripts/convert-checkpoint on the fixtures of every format, and on damaged and hostile checkpoints."""
import json
import pathlib
import pickle
import struct
import sys
import tempfile
import unittest
import zipfile

import numpy as np
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import convert_checkpoint  # noqa: E402
import simple_bpe  # noqa: E402
import torch_archive  # noqa: E402

FORMATS = ROOT / "tests/parity/fixtures/formats"
TOKENIZER = ROOT / "tests/parity/fixtures/tokenizer"
CONFIG = json.loads((FORMATS / "config.json").read_text())


def convert(path, config=None):
    return convert_checkpoint.convert(path, config, None)


class Fixtures(unittest.TestCase):
    def expect(self, table, name):
        expected = load_file(FORMATS / name)
        self.assertEqual(sorted(table), sorted(expected))
        for key, values in expected.items():
            self.assertEqual(table[key].dtype, np.float32, key)
            np.testing.assert_array_equal(table[key], values.astype(np.float32), err_msg=key)

    def test_a_state_dict_converts_exactly(self):
        for config in (None, CONFIG):
            frozen, learnt, unexpected = convert(FORMATS / "state_dict.pt", config)
            self.expect(frozen, "expected_openai.safetensors")
            self.assertEqual((learnt, unexpected), ({}, []))

    def test_a_torchscript_archive_converts_exactly(self):
        frozen, learnt, unexpected = convert(FORMATS / "torchscript.pt", CONFIG)
        self.expect(frozen, "expected_openai.safetensors")
        self.assertEqual((learnt, unexpected), ({}, []))

    def test_a_lightning_checkpoint_converts_exactly(self):
        for config in (None, CONFIG):
            frozen, learnt, unexpected = convert(FORMATS / "lightning.ckpt", config)
            self.expect(frozen, "expected_openai.safetensors")
            self.expect(learnt, "expected_learned.safetensors")
            self.assertEqual(unexpected, [])


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "x.pt"

    def write(self, pickled, storages=()):
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("x/data.pkl", pickled)
            for key, data in storages:
                archive.writestr(f"x/data/{key}", data)

    def rewrite(self, source, change):
        """Copies a fixture, entry by entry through `change(name, bytes)`; None drops it."""
        with zipfile.ZipFile(FORMATS / source) as old, zipfile.ZipFile(self.path, "w") as new:
            for name in old.namelist():
                data = change(name, old.read(name))
                if data is not None:
                    new.writestr(name, data)

    def refuse(self, pattern, config=None):
        with self.assertRaisesRegex(torch_archive.ArchiveError, pattern):
            convert(self.path, config)

    def test_configured_taps_must_be_the_checkpoint_s(self):
        with self.assertRaisesRegex(torch_archive.ArchiveError, "taps block"):
            convert(FORMATS / "lightning.ckpt", dict(CONFIG, taps=[1, 0]))
        with self.assertRaisesRegex(torch_archive.ArchiveError, "2 levels"):
            convert(FORMATS / "lightning.ckpt", dict(CONFIG, taps=[0, 1, 1]))

    def test_configured_prompts_must_be_the_checkpoint_s(self):
        words = dict(CONFIG["prompt"]["token_ids_of_words"], damaged=5)
        prompt = dict(CONFIG["prompt"], token_ids_of_words=words)
        with self.assertRaisesRegex(torch_archive.ArchiveError, "states_anomaly"):
            convert(FORMATS / "lightning.ckpt", dict(CONFIG, prompt=prompt))

    def test_configured_sizes_must_be_the_checkpoint_s(self):
        vision = dict(CONFIG["vision"], layers=3)
        with self.assertRaisesRegex(torch_archive.ArchiveError, "missing: visual.transformer.resblocks.2"):
            convert(FORMATS / "state_dict.pt", dict(CONFIG, vision=vision))
        with self.assertRaisesRegex(torch_archive.ArchiveError, "visual.proj is"):
            convert(FORMATS / "state_dict.pt", dict(CONFIG, embed_dim=33))

    def test_a_number_that_is_none_is_refused_by_name(self):
        self.rewrite("state_dict.pt", lambda name, data: struct.pack("<f", float("nan")) * (len(data) // 4)
                     if name.endswith("data/0") else data)
        self.refuse("holds NaN")

    def test_a_missing_storage_is_refused(self):
        self.rewrite("state_dict.pt", lambda name, data: None if name.endswith("data/0") else data)
        self.refuse("data/0: cannot be read")

    def test_a_short_storage_is_refused(self):
        self.rewrite("state_dict.pt", lambda name, data: data[:-4] if name.endswith("data/0") else data)
        self.refuse("has .* elements, not")

    def test_an_alias_that_differs_is_refused(self):
        archive = torch_archive.Archive(FORMATS / "lightning.ckpt")
        conversion = convert_checkpoint.Conversion(archive, None)
        key = conversion.aliases[0][0]
        other = next(k for k, t in conversion.tensors.items() if t != conversion.tensors[key])
        conversion.tensors[key] = conversion.tensors[other]
        with self.assertRaisesRegex(torch_archive.ArchiveError, "aliases differ"):
            conversion.check_aliases()

    def test_every_cut_of_the_pickle_is_refused(self):
        with zipfile.ZipFile(FORMATS / "state_dict.pt") as archive:
            whole = archive.read("state_dict/data.pkl")
        for length in range(0, len(whole), 7):
            with self.assertRaises(torch_archive.ArchiveError, msg=f"cut at {length}"):
                torch_archive.Unpickler(whole[:length]).load()

    def test_no_callable_of_the_pickle_runs(self):
        marker = pathlib.Path(self.folder.name) / "ran"

        class Attack:
            def __reduce__(self):
                return (exec, (f"open({str(marker)!r}, 'w')",))

        self.write(pickle.dumps({"a": Attack()}, protocol=2))
        self.refuse("holds no tensors")
        self.assertFalse(marker.exists())

    def test_hostile_pickles_are_refused(self):
        tensor = b"ctorch._utils\n_rebuild_tensor_v2\n"
        storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
        for name, pickled, pattern in (
                ("extension code", b"\x80\x02\x82\x01.", "which no checkpoint needs"),
                ("instance", b"(ios\nsystem\n.", "which no checkpoint needs"),
                ("no end", b"\x80\x02N", "damaged|no end"),
                ("empty stack", b"\x80\x02.", "damaged"),
                ("no memo", b"\x80\x02h\x05.", "damaged"),
                ("persistent id", b"\x80\x02NQ.", "not a storage"),
                ("kind", storage.replace(b"Float", b"Quint") + b".", "not supported"),
                ("beyond", tensor + b"(" + storage + b"K\x01(K\x04t(K\x01ttR.", "beyond its storage"),
                ("negative stride", tensor + b"(" + storage + b"K\x01(K\x04t(J\xff\xff\xff\xffttR.", "is not one"),
                ("huge stride", tensor + b"(" + storage + b"K\x00(K\x02t(\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01ttR.",
                 "is not one"),
                ("few arguments", tensor + b"(" + storage + b"tR.", "damaged"),
                ("depth", b"\x80\x02" + b"]" * (torch_archive.MAX_STACK + 2) + b".", "too deep"),
        ):
            with self.subTest(name):
                self.write(pickled)
                with self.assertRaisesRegex(torch_archive.ArchiveError, pattern):
                    torch_archive.Archive(self.path)

    def test_an_expanded_tensor_is_bounded(self):
        storage = torch_archive.Storage("Float", "0", 1)
        shape = (1 << 24, 1 << 24)
        self.write(pickle.dumps({}, protocol=2), [("0", b"\0\0\0\0")])
        archive = torch_archive.Archive(self.path)
        with self.assertRaisesRegex(torch_archive.ArchiveError, "too large"):
            archive.read(torch_archive.Tensor(storage, 0, shape, (0, 0)))

    def test_objects_that_hold_themselves_are_refused(self):
        loop = {}
        loop["a"] = loop
        self.write(pickle.dumps(loop, protocol=2))
        self.refuse("nested too deep")

    def test_what_is_no_archive_is_refused(self):
        self.path.write_bytes(b"no zip")
        self.refuse("not a checkpoint")
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("x/other", b"")
        self.refuse("has 0 data.pkl")
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/data.pkl", b"N." * 1000)
        self.refuse("is packed")

    def test_bfloat16_widens_exactly(self):
        bits = np.array([0x3F80, 0xC000, 0x7F80], np.uint16)
        self.write(pickle.dumps({}, protocol=2), [("0", bits.tobytes())])
        storage = torch_archive.Storage("BFloat16", "0", 3)
        values = torch_archive.Archive(self.path).read(torch_archive.Tensor(storage, 0, (3,), (1,)))
        np.testing.assert_array_equal(values, np.array([1, -2, np.inf], np.float32))

    def test_strides_are_followed(self):
        self.write(pickle.dumps({}, protocol=2), [("0", np.arange(6, dtype=np.float32).tobytes())])
        storage = torch_archive.Storage("Float", "0", 6)
        values = torch_archive.Archive(self.path).read(torch_archive.Tensor(storage, 1, (2, 2), (1, 3)))
        np.testing.assert_array_equal(values, [[1, 4], [2, 5]])


class Prompts(unittest.TestCase):
    def test_ascii_ids_equal_the_reference_s(self):
        cases = json.loads((TOKENIZER / "cases.json").read_text())
        tokenizer = simple_bpe.SimpleBpe(TOKENIZER / "bpe_simple_vocab_16e6.txt.gz")
        rows = [row for row in cases["cases"] if row["kind"] in ("learned_prompt", "prompt")]
        self.assertGreater(len(rows), 20)
        for row in rows:
            ids = [49406, *row["ids"], 49407]
            self.assertEqual(tokenizer.encode(row["text"], 512)[:len(ids)], ids, row["text"])


if __name__ == "__main__":
    unittest.main(buffer=True)
