"""What a bundle takes and gives as JSON Schema (2020-12): the bodies that the OpenAPI document describes.

JSON Schema cannot say that all columns have equally many rows. So the body of the inference protocol is described
twice: exactly for one row, and for any number of rows by what each column must be. What validates against neither is
refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.bundle import Golden, Input, Manifest
from serving.protocol import DATATYPE, TAKEN, WHOLE

Schema = dict[str, Any]

BEYOND_FLOAT32 = 2.0**128 - 2.0**103  # the first number that is rounded to infinity, and not to the largest float32
INT64 = np.iinfo(np.int64)
SHOWN_CATEGORIES = 5


def value(column: Input) -> Schema:
    """One value of a column."""
    schema: Schema
    if column.dtype == "string":
        schema = {"type": ["string", "null"]} if column.nullable else {"type": "string", "minLength": 1}
        if column.categories:
            schema["examples"] = list(column.categories[:SHOWN_CATEGORIES])
    elif column.dtype == "float32":
        kind = ["number", "null"] if column.nullable else "number"
        bounds = {"exclusiveMinimum": -BEYOND_FLOAT32, "exclusiveMaximum": BEYOND_FLOAT32}
        schema = {"type": kind, "format": "float", **bounds}
    elif column.dtype == "int64":
        schema = {"type": "integer", "format": "int64", "minimum": int(INT64.min), "maximum": int(INT64.max)}
    else:
        schema = {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}]}
    if column.description:
        schema["description"] = column.description
    return schema


def cell(column: Input) -> Schema:
    """What one row holds of a column: a value, or as many as a tensor is wide."""
    return value(column) if column.width == 1 else _list(value(column), column.width, column.width)


def inference_request(manifest: Manifest, maximum_rows: int) -> Schema:
    """The body of a request of the Open Inference Protocol v2, in JSON."""
    columns = manifest.inputs
    count = len(columns)
    one_row = {"type": "array", "prefixItems": [_one_row(column) for column in columns], "items": False}
    tensors = [tensor for column in columns for tensor in _tensors(column, maximum_rows)]
    outputs = [{"const": output.name} for output in manifest.outputs]
    wish = _parameters(binary_data={"type": ["boolean", "null"]})
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"], "description": "comes back in the answer"},
            "parameters": _parameters(binary_data_output={"type": "boolean", "default": False}),
            "inputs": {
                "description": "every column once, in any order, all with equally many rows",
                "anyOf": [
                    {"title": "One row", **one_row, "minItems": count, "maxItems": count},
                    {"title": "Any number of rows", **_list({"anyOf": tensors}, count, count)},
                ],
            },
            "outputs": {
                "description": "the outputs to answer with; all where nothing is said",
                "type": ["array", "null"],
                "maxItems": len(outputs),
                "items": _object({"name": {"anyOf": outputs}, "parameters": wish}, ["name"]),
            },
        },
    }


def inference_response(manifest: Manifest) -> Schema:
    """The body of an answer of the Open Inference Protocol v2, in JSON."""
    tensors = [
        _object(
            {
                "name": {"const": output.name},
                "datatype": {"const": "FP32"},
                "shape": _list({"type": "integer", "minimum": 0}, min(output.width, 2), min(output.width, 2)),
                "data": {"type": "array", "items": {"type": "number"}, "description": "flat, row by row"},
            },
            ["name", "datatype", "shape"],
        )
        for output in manifest.outputs
    ]
    text = {"type": "string"}
    return _object(
        {
            "model_name": {"const": manifest.name},
            "model_version": text,
            "id": text,
            "parameters": _object({"bundle_digest": text}, ["bundle_digest"]),
            "outputs": {"type": "array", "items": {"anyOf": tensors}},
        },
        ["model_name", "model_version", "id", "outputs"],
    )


def invocation(manifest: Manifest, maximum_rows: int) -> Schema:
    """The body of a request of the MLflow dialect, in JSON."""
    columns = manifest.inputs
    names = [column.name for column in columns]
    record = _object({column.name: cell(column) for column in columns}, names, additionalProperties=False)
    row = {
        "type": "array",
        "prefixItems": [cell(column) for column in columns],
        "items": False,
        "minItems": len(columns),
        "maxItems": len(columns),
    }
    split = {"columns": {"const": names, "description": "in any order"}, "data": _list(row, 0, maximum_rows)}
    one_row = {column.name: _list(cell(column), 1, 1) for column in columns}
    any_rows = {column.name: _list(cell(column), 0, maximum_rows) for column in columns}
    inputs = [
        _object(one_row, names, title="One row", additionalProperties=False),
        _object(any_rows, names, title="Equally many rows in every column", additionalProperties=False),
    ]
    rows: list[Schema] = [_list(record, 0, maximum_rows)]
    if len(columns) == 1:  # then nobody needs to name it
        rows.append(_list(cell(columns[0]), 0, maximum_rows))
        inputs.append(rows[1])
    forms = {
        "dataframe_split": _object(split, ["columns", "data"]),
        "dataframe_records": rows[0],
        "inputs": {"anyOf": inputs},
        "instances": rows[0] if len(rows) == 1 else {"anyOf": rows},
    }
    alone = {form: {other: False for other in forms if other != form} for form in forms}
    return {
        "description": "one of four forms; `params` are taken and change nothing",
        "anyOf": [_object({form: forms[form], **alone[form]}, [form], title=form) for form in forms],
    }


def predictions(manifest: Manifest) -> Schema:
    """The body of an answer of the MLflow dialect."""
    values: dict[str, Schema] = {}
    for output in manifest.outputs:
        number: Schema = {"type": "number"}
        values[output.name] = number if output.width == 1 else _list(number, output.width, output.width)
    one = values[manifest.outputs[0].name] if len(values) == 1 else _object(values, list(values))
    return _object({"predictions": {"type": "array", "items": one}}, ["predictions"])


def example_request(manifest: Manifest, golden: Golden, rows: Sequence[int]) -> dict[str, Any]:
    """A request that works: some of the golden rows."""
    inputs = []
    for column in manifest.inputs:
        data = [golden.inputs[column.name][row] for row in rows]
        shape = [len(rows)] if column.width == 1 else [len(rows), column.width]
        inputs.append({"name": column.name, "datatype": DATATYPE[column.dtype], "shape": shape, "data": data})
    return {"inputs": inputs}


def example_records(manifest: Manifest, golden: Golden, rows: Sequence[int]) -> dict[str, Any]:
    """The same for the MLflow dialect."""
    names = [column.name for column in manifest.inputs]
    return {"dataframe_records": [{name: golden.inputs[name][row] for name in names} for row in rows]}


def _one_row(column: Input) -> Schema:
    shape = [1] if column.width == 1 else [1, column.width]
    datatype = {"const": DATATYPE[column.dtype]}
    data = _list(value(column), column.width, column.width)
    return _tensor(column, datatype, {"const": shape}, data)


def _tensors(column: Input, maximum_rows: int) -> list[Schema]:
    """The ways to send a column: a datatype that declares whole numbers asks for them, data are flat or nested."""
    schemas = []
    rows: Schema = {"type": "integer", "minimum": 0, "maximum": maximum_rows}
    for taken in (TAKEN[column.dtype] - WHOLE, TAKEN[column.dtype] & WHOLE):
        if not taken:
            continue
        item = value(column)
        if column.dtype == "float32" and taken <= WHOLE:
            item = {**item, "type": ["integer", "null"] if column.nullable else "integer"}
        flat = _list(item, 0, maximum_rows * column.width)
        nested = _list(_list(item, column.width, column.width), 0, maximum_rows)
        datatype = {"enum": sorted(taken)}
        wide = {"type": "array", "prefixItems": [rows, {"const": column.width}], "minItems": 2, "maxItems": 2}
        if column.width == 1:
            schemas.append(_tensor(column, datatype, _list(rows, 1, 1), flat))
        schemas.append(_tensor(column, datatype, wide, {"anyOf": [flat, nested]}))
    return schemas


def _tensor(column: Input, datatype: Schema, shape: Schema, data: Schema) -> Schema:
    properties = {"name": {"const": column.name}, "datatype": datatype, "shape": shape, "data": data}
    return _object({**properties, "parameters": _parameters(binary_data_size={"type": "null"})}, list(properties))


def _parameters(**known: Schema) -> Schema:
    """Of parameters the server reads a few; all others are taken and change nothing."""
    return {"type": ["object", "null"], "properties": known}


def _list(items: Schema, minimum: int, maximum: int) -> Schema:
    return {"type": "array", "items": items, "minItems": minimum, "maxItems": maximum}


def _object(properties: Mapping[str, Schema | bool], required: list[str], **more: Any) -> Schema:
    return {"type": "object", "required": required, "properties": dict(properties), **more}
