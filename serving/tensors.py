"""Binary tensors of the Open Inference Protocol: little-endian, row after row; strings after their length."""

import struct

import numpy as np

from serving.columns import ColumnError

DTYPES = {
    "BOOL": "u1",  # a byte each; the column says that only 0 and 1 are truth values
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


def read(name: str, datatype: str, data: bytes, values: int) -> np.ndarray:
    """The flat array of a tensor of so many values; of `str` objects for BYTES. Raises ColumnError."""
    if datatype == "BYTES":
        return _strings(name, data, values)
    dtype = np.dtype(DTYPES[datatype])
    if len(data) != values * dtype.itemsize:
        reason = f"has {len(data)} bytes where its shape and datatype say {values * dtype.itemsize}"
        raise ColumnError(name, reason, "make them equal")
    return np.frombuffer(data, dtype)


def _strings(name: str, data: bytes, values: int) -> np.ndarray:
    found: np.ndarray = np.empty(values, object)
    at = 0
    try:
        for place in range(values):
            (length,) = struct.unpack_from("<I", data, at)
            at += 4 + length
            if at > len(data):
                raise ColumnError(name, f"row {place} ends beyond its data", "send a length and as many bytes")
            found[place] = data[at - length : at].decode()
    except struct.error:
        raise ColumnError(name, "has fewer strings than its shape says", "make them equal") from None
    except UnicodeDecodeError:
        raise ColumnError(name, f"row {place} is not UTF-8", "send UTF-8") from None
    if at != len(data):
        raise ColumnError(name, "has more data than its shape says", "make them equal")
    return found
