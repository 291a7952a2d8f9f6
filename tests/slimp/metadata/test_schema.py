"""What is written of a schema is what is read, and its hash says so."""

from dataclasses import replace

from helpers.toy_metadata import fit_toy
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.schema_file import read_schema


def test_json_round_trip_keeps_the_schema_and_its_digest():
    _, schema = fit_toy()
    read = read_schema(schema.to_json())
    assert read == schema
    assert read.digest() == schema.digest()
    changed = replace(schema.columns[0], high=99.0)
    assert Schema((changed, *schema.columns[1:])).digest() != schema.digest()
