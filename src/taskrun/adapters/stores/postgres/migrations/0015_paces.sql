-- What is changed with each new task is changed in its place, without a word to any index: an index by the time up to
-- which a rate is used up would change each time. A meeting looks at all rates instead, which are those of the last
-- minute.
DROP INDEX rates_by_even;
ALTER TABLE rates SET (fillfactor = 50);
ALTER TABLE crews SET (fillfactor = 50);
