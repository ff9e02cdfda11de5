"""Creating a new plugin package from templates."""
