"""Protobuf packages under operatorservice."""
