"""From concepts to candidates: retrieval, fusion, calibration."""
