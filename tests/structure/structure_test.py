#!/usr/bin/env python3
"""Proves that structure.py finds what it is for: plants one violation at a time in a small clean tree."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import structure  # noqa: E402

CLEAN = {
    "core/base/README.md": "# core/base\n\nNothing of the domain.\n",
    "core/base/clock.h": "#pragma once\n#include <chrono>\n",
    "core/batching/README.md": "# core/batching\n\nThe scheduler.\n",
    "core/batching/batcher.h": '#pragma once\n#include "core/base/clock.h"\n#include "absl/time/time.h"\n',
    "core/batching/batcher.cc": '#include "core/batching/batcher.h"\n',
    "core/batching/CMakeLists.txt": "hfwa_library(hfwa_batching SOURCES batcher.cc DEPS hfwa_base)\n",
    "core/base/CMakeLists.txt": "hfwa_library(hfwa_base SOURCES clock.cc DEPS absl::time)\n",
    "core/model/README.md": "# core/model\n\nThe architecture.\n",
    "core/model/hfwa.h": "#pragma once\n#include <ATen/core/Tensor.h>\n",
    "core/engine/README.md": "# core/engine\n\nTies the rooms.\n",
    "core/engine/engine.h": '#pragma once\n#include "core/model/hfwa.h"\n#include "core/batching/batcher.h"\n',
    "server/README.md": "# server\n\nThin services.\n",
    "server/main.cc": '#include <grpcpp/grpcpp.h>\n#include "core/engine/engine.h"\n'
                      '#include "hfwa/v1/image.pb.h"\n',
    "client/README.md": "# client\n\nThe library.\n",
    "client/client.cc": '#include "hfwa/v1/image.pb.h"\n#include "core/base/clock.h"\n',
}


class StructureTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        for name, text in CLEAN.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def expect_one(self, name, text, says):
        self.write(name, text)
        found = structure.violations(self.root)
        self.assertEqual(len(found), 1, found)
        self.assertEqual(found[0][0], name)
        self.assertIn(says, found[0][2])

    def test_clean_tree_passes(self):
        self.assertEqual(structure.violations(self.root), [])

    def test_upward_include_is_found(self):
        self.expect_one("core/base/clock.h", '#pragma once\n#include "core/engine/engine.h"\n', "go down only")

    def test_sideways_include_is_found(self):
        self.expect_one("core/batching/batcher.cc", '#include "core/model/hfwa.h"\n', "go down only")

    def test_client_including_engine_is_found(self):
        self.expect_one("client/client.cc", '#include "core/engine/engine.h"\n', "go down only")

    def test_grpc_in_core_is_found(self):
        self.expect_one("core/engine/engine.h", "#pragma once\n#include <grpcpp/grpcpp.h>\n", "core knows no gRPC")

    def test_contract_in_core_is_found(self):
        self.expect_one("core/engine/engine.h", '#pragma once\n#include "hfwa/v1/image.pb.h"\n', "speak the contract")

    def test_prometheus_in_core_is_found(self):
        self.expect_one("core/engine/engine.h", "#pragma once\n#include <prometheus/counter.h>\n", "metrics")

    def test_sqlite_outside_store_is_found(self):
        self.expect_one("server/main.cc", "#include <sqlite3.h>\n", "SQLite")

    def test_tensor_in_server_is_found(self):
        self.expect_one("server/main.cc", "#include <ATen/ATen.h>\n", "tensors")

    def test_opencv_outside_image_is_found(self):
        self.expect_one("core/model/hfwa.h", "#pragma once\n#include <opencv2/core.hpp>\n", "OpenCV")

    def test_torch_umbrella_header_is_found_everywhere(self):
        self.expect_one("core/model/hfwa.h", "#pragma once\n#include <torch/torch.h>\n", "16 s")

    def test_relative_include_is_found(self):
        self.expect_one("core/batching/batcher.cc", '#include "batcher.h"\n', "path from the root")

    def test_commented_include_is_ignored(self):
        self.write("core/batching/batcher.cc", '// #include <sqlite3.h>\n/*\n#include <sqlite3.h>\n*/\n')
        self.assertEqual(structure.violations(self.root), [])

    def test_missing_pragma_once_is_found(self):
        self.expect_one("core/base/clock.h", "#include <chrono>\n", "#pragma once")

    def test_upward_link_is_found(self):
        self.write("core/engine/CMakeLists.txt", "hfwa_library(hfwa_engine SOURCES a.cc DEPS hfwa_batching)\n")
        self.expect_one("core/base/CMakeLists.txt",
                        "hfwa_library(hfwa_base SOURCES clock.cc\n  DEPS absl::time hfwa_engine)\n", "may not link hfwa_engine")

    def test_grpc_link_in_core_is_found(self):
        self.expect_one("core/batching/CMakeLists.txt",
                        "hfwa_library(hfwa_batching SOURCES b.cc DEPS hfwa_base)\n"
                        "target_link_libraries(hfwa_batching PRIVATE gRPC::grpc++)\n", "may not link gRPC::grpc++")

    def test_missing_readme_is_found(self):
        (self.root / "client/README.md").unlink()
        found = structure.violations(self.root)
        self.assertEqual([f[0] for f in found], ["client/README.md"])

    def test_long_readme_is_found(self):
        self.expect_one("client/README.md", "line\n" * 11, "at most 10")

    def test_title_only_readme_is_found(self):
        self.expect_one("client/README.md", "# client\n", "only a title")

    def test_long_file_is_found(self):
        self.expect_one("client/client.cc", "\n" * 801, "split it")

    def test_large_file_is_found(self):
        self.expect_one("client/blob.bin", "x" * ((8 << 20) + 1), "belong into git")

    def test_machine_path_is_found(self):
        self.expect_one("client/client.cc", 'const char* kData = "' + "/wo" + 'rk/data";\n', "path of one machine")

    def test_package_index_is_found(self):
        self.expect_one("scripts.txt", "pip --index" + "-url x\n", "package index")

    def test_ignored_files_do_not_count(self):
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        self.write(".gitignore", "/out/\n")
        self.write("out/a.cc", '#include "nothing.h"\n')
        self.assertEqual(structure.violations(self.root), [])

    def test_program_exits_1_and_names_file_and_line(self):
        self.write("server/main.cc", "\n#include <sqlite3.h>\n")
        run = subprocess.run([sys.executable, structure.__file__, "--root", str(self.root)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("server/main.cc:2: ", run.stdout)


if __name__ == "__main__":
    unittest.main()
