"""The built-in plugins. They import only the public API and each other, as third-party plugins would."""
