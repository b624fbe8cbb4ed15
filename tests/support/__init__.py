"""What tests share: servers, files, drawn pictures and small models."""
