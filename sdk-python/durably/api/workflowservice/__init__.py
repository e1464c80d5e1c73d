"""Protobuf packages under workflowservice."""
