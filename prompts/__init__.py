"""Floor 0: versioned prompt templates. Data only."""
