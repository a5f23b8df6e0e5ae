"""Node agents as the runner uses them: client, lease renewal, live faults."""
