"""Protobuf packages under nexusoperation."""
