"""What every training loop needs: processes, optimizers, schedules, progress, interruption."""
