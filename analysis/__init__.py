"""Raw logs -> records -> statistics -> tables, plots, report. Reads `logs/` alone and knows nothing of Ansible."""
