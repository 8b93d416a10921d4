"""What a judge of a canary sees and does beside the local stack; its rules are in kserve_transformers.judging."""
