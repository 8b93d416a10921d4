"""Our own load generator: a process that sends requests and counts every outcome. The load studies use Locust."""
