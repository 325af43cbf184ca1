"""Population-based training: settings that change while their members train."""
