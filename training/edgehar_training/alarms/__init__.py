"""False alarms per hour of ordinary footage, against the share of incidents that raise an alarm."""
