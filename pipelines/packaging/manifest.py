"""`bundle.json`: the model's inputs and outputs, from the schema and from what training saw."""

from typing import Literal

from contracts.bundle import Input, Manifest, Output
from contracts.errors import InputError
from pipelines.packaging.parameters import Parameters
from pipelines.schema import Feature, Schema
from pipelines.training.encoding import Encoding

OUTPUTS = {"binary": "probability", "multiclass": "probabilities", "regression": "value"}


def describe(schema: Schema, encoding: Encoding, parameters: Parameters) -> Manifest:
    """The manifest. Raises InputError when a feature has the name of the output."""
    output = OUTPUTS[schema.task]
    if output in schema.features:
        place = f"conf/base/schema.yml: features.{output}"
        raise InputError(f"{place}: is the name of the model's output; rename the feature")
    categories = {category.name: category for category in encoding.categories if category.textual}
    ranges = {number.name: (number.low, number.high) for number in encoding.numbers}
    return Manifest(
        name=parameters.name,
        task=schema.task,
        target=schema.target,
        inputs=tuple(
            Input(
                name=name,
                dtype=dtype(feature),
                source=feature.source,
                nullable=feature.nullable,
                categories=tuple(map(str, categories[name].values)) if name in categories else (),
                minimum=ranges[name][0] if name in ranges else None,
                maximum=ranges[name][1] if name in ranges else None,
                description=feature.description,
            )
            for name, feature in schema.features.items()
        ),
        outputs=(Output(name=output, width=encoding.target.width),),
        classes=encoding.target.classes,
        decision_threshold=parameters.decision_threshold if schema.task == "binary" else None,
    )


def dtype(feature: Feature) -> Literal["string", "float32", "int64", "bool"]:
    """How the column travels: whole numbers and booleans have no missing value, so nullable ones are floats."""
    return "float32" if feature.nullable and feature.dtype in ("int64", "bool") else feature.dtype
