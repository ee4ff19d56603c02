"""Training: masked pretraining of the teacher, distillation of the student, calibration."""
