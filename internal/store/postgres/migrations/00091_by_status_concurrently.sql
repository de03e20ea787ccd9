-- What step 90 made takes the place of this one.

DROP INDEX CONCURRENTLY IF EXISTS acs.communication_events_status
