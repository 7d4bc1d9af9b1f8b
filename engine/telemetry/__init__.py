"""What is written beside the journal for those who watch: files for Prometheus and Grafana, and logs."""
