"""From a plan to pictures: pipelines, adapter weights, recipes."""
