"""What every router must beat."""
