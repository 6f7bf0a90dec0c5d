"""A pose net with heat maps, made of one with SimCC outputs: each map is the outer product of its two rows."""

from pathlib import Path

BINS_A_CELL = 4  # of SimCC, two bins a pixel: cells of two pixels


def with_heat_maps(simcc: Path, path: Path) -> Path:
    """Write the net at `simcc` with one output (N, 133, H / 2, W / 2): roots of the products, so that tops keep their scores."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(simcc)
    graph = model.graph
    sides = {o.name: o.type.tensor_type.shape.dim[2].dim_value // BINS_A_CELL for o in graph.output}
    graph.initializer.extend(
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("from", 0), ("to", 1 << 30), ("last", 2), ("every", BINS_A_CELL), ("beside", 3))
    )
    graph.node.extend(
        [
            helper.make_node("Slice", ["simcc_x", "from", "to", "last", "every"], ["few_x"]),
            helper.make_node("Slice", ["simcc_y", "from", "to", "last", "every"], ["few_y"]),
            helper.make_node("Unsqueeze", ["few_x", "last"], ["row"]),  # (N, 133, 1, W / 2)
            helper.make_node("Unsqueeze", ["few_y", "beside"], ["column"]),  # (N, 133, H / 2, 1)
            helper.make_node("Mul", ["column", "row"], ["product"]),
            helper.make_node("Sqrt", ["product"], ["heat_maps"]),
        ]
    )
    shape = ["N", 133, sides["simcc_y"], sides["simcc_x"]]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("heat_maps", TensorProto.FLOAT, shape))
    onnx.save(model, path)
    return path
