"""Evaluates a service on labelled data: accuracy or mAP with intervals, and demands that a release must meet."""
