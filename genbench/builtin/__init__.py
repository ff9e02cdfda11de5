"""The built-in plugins. They know only the public contract, as a third party would."""
