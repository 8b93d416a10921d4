"""The OpenAPI document of what this server hosts, made from the tables that requests are checked by."""
