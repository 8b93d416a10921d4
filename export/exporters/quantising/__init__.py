"""int8 networks for OpenVINO, made by NNCF and served only where they are proven."""
